/* What benches talk to, and with:
 *   peer serve PORT          serves connections: the first byte of one says what for
 *   peer client ADDR PORT    asks such a server, and prints "row NAME MICROSECONDS" for each thing it measures
 *   peer serial              for each byte on the serial port of virtio starts a program, waits for it, and answers a byte
 * As the first process of a machine it first loads the modules of its initial file system and brings eth0 up, as the
 * network of QEMU has it, and powers off at the end. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BULK (64LL << 20)
#define IN_TURN 300
#define AT_ONCE 16
#define ROUNDS 6

static char block[1 << 17];

static void need(int is_good, const char *what) {
    if (is_good) return;
    perror(what);
    exit(1);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

/* The first process of a machine. */

static void load(void) {
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, alphasort);
    for (int place = 0; place < count; place++) {
        char path[600];
        snprintf(path, sizeof path, "/modules/%s", names[place]->d_name);
        int file = open(path, O_RDONLY);
        syscall(SYS_finit_module, file, "", 0);
        close(file);
    }
}

static void set_address(int sock, struct ifreq *ask, unsigned long what, const char *address) {
    struct sockaddr_in *place = (struct sockaddr_in *)&ask->ifr_addr;
    memset(place, 0, sizeof *place);
    place->sin_family = AF_INET;
    inet_pton(AF_INET, address, &place->sin_addr);
    ioctl(sock, what, ask);
}

static void bring_up(const char *name, const char *address, const char *mask) {
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq ask = {0};
    strncpy(ask.ifr_name, name, IFNAMSIZ - 1);
    for (int turn = 0; turn < 500 && ioctl(sock, SIOCGIFINDEX, &ask) != 0; turn++) usleep(10000);
    set_address(sock, &ask, SIOCSIFADDR, address);
    set_address(sock, &ask, SIOCSIFNETMASK, mask);
    ioctl(sock, SIOCGIFFLAGS, &ask);
    ask.ifr_flags |= IFF_UP | IFF_RUNNING;
    ioctl(sock, SIOCSIFFLAGS, &ask);
    close(sock);
}

static void begin_machine(int has_network) {
    mount("devtmpfs", "/dev", "devtmpfs", 0, "");
    load();
    int console = open("/dev/console", O_WRONLY);
    dup2(console, 1);
    dup2(console, 2);
    bring_up("lo", "127.0.0.1", "255.0.0.0");
    if (has_network) bring_up("eth0", "10.0.2.15", "255.255.255.0");
}

/* The server: one thread, all connections. */

enum stage { FRESH, COUNTING, GIVING, TAKING };
struct served {
    int file;
    enum stage stage;
    int have;
    long long left;
};

/* Goes on with a connection as far as it goes; tells whether it is over. */
static int go_on(struct served *one) {
    for (;;) {
        ssize_t moved;
        if (one->stage == FRESH) {
            char what;
            moved = recv(one->file, &what, 1, 0);
            if (moved == 1 && what == 'e') return send(one->file, &what, 1, MSG_NOSIGNAL), 1;
            if (moved == 1) one->stage = what == 'g' ? COUNTING : TAKING;
        } else if (one->stage == COUNTING) {
            moved = recv(one->file, (char *)&one->left + one->have, 8 - one->have, 0);
            if (moved > 0 && (one->have += moved) == 8) one->stage = GIVING;
        } else if (one->stage == GIVING) {
            size_t most = one->left < (long long)sizeof block ? (size_t)one->left : sizeof block;
            moved = send(one->file, block, most, MSG_NOSIGNAL);
            if (moved > 0 && (one->left -= moved) == 0) return 1;
        } else {
            moved = recv(one->file, block, sizeof block, 0);
            if (moved > 0) one->left += moved;
            if (moved == 0) return send(one->file, &one->left, 8, MSG_NOSIGNAL), 1;
        }
        if (moved < 0 && errno == EAGAIN) return 0;
        if (moved <= 0) return 1;
    }
}

static void serve(int port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    need(bind(listener, (struct sockaddr *)&at, sizeof at) == 0, "bind");
    need(listen(listener, 4096) == 0, "listen");
    socklen_t size = sizeof at;
    getsockname(listener, (struct sockaddr *)&at, &size);
    int many = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(many, EPOLL_CTL_ADD, listener, &event);
    printf("serving %d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(many, events, 64, -1);
        for (int place = 0; place < count; place++) {
            struct served *old = events[place].data.ptr;
            if (old != NULL) {
                if (go_on(old)) close(old->file), free(old);
                continue;
            }
            for (int file; (file = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                struct served *fresh = calloc(1, sizeof *fresh);
                fresh->file = file;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = fresh};
                epoll_ctl(many, EPOLL_CTL_ADD, file, &event);
            }
        }
    }
}

/* The client. */

static struct sockaddr_in server;

static int dial(char what) {
    int file = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(file, (struct sockaddr *)&server, sizeof server) == 0, "connect");
    need(send(file, &what, 1, MSG_NOSIGNAL) == 1, "send");
    return file;
}

static void hear(int file, void *into, size_t count) {
    need(recv(file, into, count, MSG_WAITALL) == (ssize_t)count, "recv");
}

static void put(void) {
    int file = dial('p');
    for (long long left = BULK; left > 0;) {
        ssize_t moved = send(file, block, left < (long long)sizeof block ? (size_t)left : sizeof block, MSG_NOSIGNAL);
        need(moved > 0, "send");
        left -= moved;
    }
    shutdown(file, SHUT_WR);
    long long came;
    hear(file, &came, 8);
    need(came == BULK, "not all came");
    close(file);
}

static void get(void) {
    int file = dial('g');
    long long count = BULK, came = 0;
    need(send(file, &count, 8, MSG_NOSIGNAL) == 8, "send");
    for (ssize_t moved; (moved = recv(file, block, sizeof block, 0)) != 0; came += moved) need(moved > 0, "recv");
    need(came == BULK, "not all came");
    close(file);
}

static void in_turn(void) {
    char answer;
    for (int turn = 0; turn < IN_TURN; turn++) {
        int file = dial('e');
        hear(file, &answer, 1);
        close(file);
    }
}

static void at_once(void) {
    char answer;
    int files[AT_ONCE];
    for (int round = 0; round < ROUNDS; round++) {
        for (int place = 0; place < AT_ONCE; place++) files[place] = dial('e');
        for (int place = 0; place < AT_ONCE; place++) hear(files[place], &answer, 1), close(files[place]);
    }
}

static void row(const char *name, void (*work)(void)) {
    long long start = now();
    work();
    printf("row %s %lld\n", name, now() - start);
    fflush(stdout);
}

static void ask(const char *address, int port) {
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    need(inet_pton(AF_INET, address, &server.sin_addr) == 1, "address");
    in_turn();
    row("put", put);
    row("get", get);
    row("turn", in_turn);
    row("once", at_once);
}

/* A serial port of virtio. */

static void serial(void) {
    int port = -1;
    for (int turn = 0; turn < 500 && (port = open("/dev/vport0p1", O_RDWR)) < 0; turn++) usleep(10000);
    need(port >= 0, "/dev/vport0p1");
    char byte;
    char *words[] = {"/init", "nothing", NULL};
    for (;;) {
        /* Before the host is there, its end is the end of the file. */
        if (read(port, &byte, 1) != 1) {
            usleep(1000);
            continue;
        }
        pid_t child;
        int status;
        posix_spawn(&child, words[0], NULL, NULL, words, NULL);
        waitpid(child, &status, 0);
        write(port, &byte, 1);
    }
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    if (strcmp(what, "nothing") == 0) return 0;
    int is_init = getpid() == 1;
    if (is_init) begin_machine(strcmp(what, "serial") != 0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (strcmp(what, "serve") == 0 && count == 3) serve(atoi(words[2]));
    if (strcmp(what, "client") == 0 && count == 4) ask(words[2], atoi(words[3]));
    if (strcmp(what, "serial") == 0) serial();
    if (is_init) reboot(RB_POWER_OFF);
    return 0;
}
