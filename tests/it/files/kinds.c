/* What is no plain file: pipes, sockets, devices, programs. */

#define _GNU_SOURCE
#include "frame.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void pipes(void) {
    must(mkfifo("fifo", 0600));
    is(S_ISFIFO(facts("fifo").st_mode));
    same(facts("fifo").st_mode & 0777, 0600);
    refuses(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
    pid_t child = must(fork());
    if (child == 0) {
        int fd = must(open("fifo", O_WRONLY));
        same(write(fd, "through the pipe", 16), 16);
        _exit(0);
    }
    int fd = must(open("fifo", O_RDONLY));
    char text[32] = "";
    same(read(fd, text, 31), 16);
    is(!strcmp(text, "through the pipe"));
    same(read(fd, text, 31), 0);
    reap(child);
    must(rename("fifo", "moved"));
    must(open("moved", O_RDWR));
    must(unlink("moved"));
}

static struct sockaddr_un address(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, name);
    return address;
}

static void sockets(void) {
    struct sockaddr_un here = address("socket");
    int listener = must(socket(AF_UNIX, SOCK_STREAM, 0));
    must(bind(listener, (struct sockaddr *)&here, sizeof here));
    is(S_ISSOCK(facts("socket").st_mode));
    must(listen(listener, 1));
    pid_t child = must(fork());
    if (child == 0) {
        int own = must(socket(AF_UNIX, SOCK_STREAM, 0));
        must(connect(own, (struct sockaddr *)&here, sizeof here));
        same(write(own, "hello", 5), 5);
        _exit(0);
    }
    int peer = must(accept(listener, NULL, NULL));
    char text[8] = "";
    same(read(peer, text, 7), 5);
    is(!strcmp(text, "hello"));
    reap(child);
    int other = must(socket(AF_UNIX, SOCK_STREAM, 0));
    refuses(EADDRINUSE, bind(other, (struct sockaddr *)&here, sizeof here));
    refuses(ENXIO, open("socket", O_RDONLY));
    must(close(listener));
    refuses(ECONNREFUSED, connect(other, (struct sockaddr *)&here, sizeof here));
    must(unlink("socket"));
    refuses(ENOENT, connect(other, (struct sockaddr *)&here, sizeof here));
    struct sockaddr_un second = address("datagrams");
    int receiver = must(socket(AF_UNIX, SOCK_DGRAM, 0)), sender = must(socket(AF_UNIX, SOCK_DGRAM, 0));
    must(bind(receiver, (struct sockaddr *)&second, sizeof second));
    same(sendto(sender, "datagram", 8, 0, (struct sockaddr *)&second, sizeof second), 8);
    same(recv(receiver, text, 8, 0), 8);
}

static void devices(void) {
    /* On a disk root may. */
    if (!is_share && geteuid() == 0) return;
    refuses(EPERM, mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
    refuses(EPERM, mknod("disk", S_IFBLK | 0666, makedev(254, 0)));
    refuses(ENOENT, access("zero", F_OK));
}

static void copy_program(const char *name) {
    char *buffer = malloc(1 << 20);
    int from = must(open("/proc/self/exe", O_RDONLY)), to = must(open(name, O_WRONLY | O_CREAT, 0755));
    for (long length; (length = must(read(from, buffer, 1 << 20)));) same(write(to, buffer, length), length);
    must(close(to));
}

static int run_program(const char *name, const char *word) {
    pid_t child = must(fork());
    if (child == 0) {
        execl(name, name, word, (char *)NULL);
        _exit(errno == EACCES ? 126 : 127);
    }
    int status;
    must(waitpid(child, &status, 0));
    return WEXITSTATUS(status);
}

static void programs(void) {
    put("script", "#!/bin/sh\nexit 42\n");
    same(run_program("./script", "x"), 126);
    must(chmod("script", 0755));
    same(run_program("./script", "x"), 42);
    copy_program("program");
    same(run_program("./program", "forty-three"), 43);
    /* What runs is not written. */
    struct gate runs = new_gate();
    pid_t child = must(fork());
    if (child == 0) {
        must(dup2(runs.ends[1], 1));
        execl("./program", "program", "run-for-long", (char *)NULL);
        _exit(1);
    }
    pass_gate(runs);
    refuses(ETXTBSY, open("program", O_WRONLY));
    refuses(ETXTBSY, truncate("program", 0));
    put("new", "#!/bin/sh\nexit 44\n");
    must(chmod("new", 0755));
    must(rename("new", "program"));
    same(run_program("./program", "x"), 44);
    must(kill(child, 9));
    must(waitpid(child, NULL, 0));
    int writer = must(open("script", O_WRONLY));
    same(run_program("./script", "x"), 127);
    must(close(writer));
}

const struct check kinds_checks[] = {
    {"pipes", pipes}, {"sockets", sockets}, {"devices", devices}, {"programs", programs}, {NULL, NULL},
};
