/* A program for guests, linked statically so that it needs nothing of the image: says what it sees, and tries things. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

extern char **environ;

static int say_who(void) {
    gid_t groups[64];
    int count = getgroups(64, groups);
    char folder[4096];
    mode_t mask = umask(022);
    printf("%u:%u groups", (unsigned)getuid(), (unsigned)getgid());
    for (int each = 0; each < count; each++) printf("%c%u", each ? ',' : ' ', (unsigned)groups[each]);
    printf(" home %s user %s in %s umask %03o\n", getenv("HOME"), getenv("USER") ? getenv("USER") : "-",
           getcwd(folder, sizeof folder), (unsigned)mask);
    return 0;
}

/* Tries one port; 0 where something answers. */
static int dial(unsigned cid, unsigned port) {
    struct sockaddr_vm peer = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    int error = 0;
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        socklen_t length = sizeof error;
        error = errno;
        if (error == EINPROGRESS) {
            if (poll(&wait, 1, 20000) != 1) error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
        }
    }
    close(fd);
    return error;
}

/* Tries every port of the list: names those that answer, counts those that refuse. */
static int dial_all(int count, char **words) {
    unsigned cid = strtoul(words[0], NULL, 10), refused = 0;
    for (int each = 1; each < count; each++) {
        char *dash;
        unsigned first = strtoul(words[each], &dash, 10), last = *dash == '-' ? strtoul(dash + 1, NULL, 10) : first;
        for (unsigned port = first; port <= last; port++) {
            int error = dial(cid, port);
            if (error == ECONNRESET || error == ECONNREFUSED || error == ENODEV || error == EHOSTUNREACH) refused++;
            else printf("port %u: %s\n", port, error ? strerror(error) : "answers");
        }
    }
    printf("%u refused\n", refused);
    return 0;
}

static int random_at_once(void) {
    unsigned char bytes[256];
    ssize_t count = getrandom(bytes, sizeof bytes, GRND_NONBLOCK);
    if (count < 0) return perror("getrandom"), 1;
    for (int each = 0; each < 16; each++) printf("%02x", bytes[each]);
    printf("\n");
    return 0;
}

/* Leaves orphans behind, waits until init has had them, and counts those that nobody reaped. */
static int leave_orphans(int count) {
    int gone[2];
    if (pipe(gone) != 0) return 1;
    for (int each = 0; each < count; each++) {
        if (fork() == 0) {
            close(gone[0]);
            if (fork() == 0) usleep(1000);
            _exit(0);
        }
        wait(NULL);
    }
    close(gone[1]);
    char byte;
    return read(gone[0], &byte, 1) == 0 ? 0 : 1;
}

/* Takes memory until the kernel ends it. */
static int eat(void) {
    for (;;)
        if (mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED)
            return 1;
}

int main(int count, char **words) {
    if (count < 2) return 64;
    if (!strcmp(words[1], "who")) return say_who();
    if (!strcmp(words[1], "dial")) return dial_all(count - 2, words + 2);
    if (!strcmp(words[1], "random")) return random_at_once();
    if (!strcmp(words[1], "orphans")) return leave_orphans(atoi(words[2]));
    if (!strcmp(words[1], "eat")) return eat();
    if (!strcmp(words[1], "off")) return reboot(RB_POWER_OFF);
    if (!strcmp(words[1], "device")) {
        if (mknod(words[2], S_IFBLK | 0666, 0xfe00) != 0) printf("%s\n", strerror(errno));
        return 0;
    }
    if (!strcmp(words[1], "environment")) {
        for (char **each = environ; *each; each++) puts(*each);
        return 0;
    }
    if (!strcmp(words[1], "write")) {
        int fd = open(words[2], O_WRONLY | O_CREAT, 0666);
        if (fd < 0) return printf("%s\n", strerror(errno)), 0;
        return write(fd, "written\n", 8) == 8 ? 0 : 1;
    }
    return 64;
}
