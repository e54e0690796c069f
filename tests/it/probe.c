/* A program for guests, linked statically so that it needs nothing of the image: says what it sees, and tries things. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
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

/* Stops every thread of process 1, or its first one only, and never lets it go. */
static int hold_init(int is_all) {
    DIR *tasks = opendir("/proc/1/task");
    if (!tasks) return perror("tasks"), 1;
    for (struct dirent *each; (each = readdir(tasks));) {
        int thread = atoi(each->d_name);
        if (thread < 1 || (thread > 1 && !is_all)) continue;
        if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0) return perror("seize"), 1;
        if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) != 0) return perror("interrupt"), 1;
    }
    puts("held");
    fflush(stdout);
    for (;;) pause();
}

/* Lets process 1 go on at an address where nothing is. */
static int crash_init(void) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_ATTACH, 1, 0, 0) != 0) return perror("attach"), 1;
    waitpid(1, NULL, __WALL);
    if (ptrace(PTRACE_GETREGS, 1, 0, &registers) != 0) return perror("registers"), 1;
    registers.rip = 16;
    registers.orig_rax = -1;
    if (ptrace(PTRACE_SETREGS, 1, 0, &registers) != 0) return perror("registers"), 1;
    return ptrace(PTRACE_DETACH, 1, 0, 0) != 0;
}

/* Writes numbered lines for ever, and says each number when its line is on the disk. */
static int write_and_sync(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) return perror(path), 1;
    for (unsigned number = 0;; number++) {
        char line[33];
        snprintf(line, sizeof line, "%031u\n", number);
        if (write(fd, line, 32) != 32 || fsync(fd) != 0) return perror(path), 1;
        printf("%u\n", number);
        fflush(stdout);
    }
}

/* Opens a file until it is open so often; says how often, and why not more often. */
static int open_often(const char *path, int count) {
    struct rlimit limit = {count + 100, count + 100};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return perror("limit"), 1;
    int done = 0;
    while (done < count && open(path, O_RDONLY) >= 0) done++;
    printf("%d: %s\n", done, done < count ? strerror(errno) : "all");
    return 0;
}

/* Fills streams to the host that nobody reads, and asks for more of them, for so many seconds. */
static int flood_host(int seconds) {
    time_t end = time(NULL) + seconds;
    static char bytes[1 << 16];
    unsigned long tried = 0;
    for (unsigned port = 1; time(NULL) < end; port++) {
        struct sockaddr_vm peer = {.svm_family = AF_VSOCK, .svm_cid = 2, .svm_port = port};
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) return perror("socket"), 1;
        connect(fd, (struct sockaddr *)&peer, sizeof peer);
        send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        close(fd);
        tried++;
    }
    printf("%s\n", tried > 100 ? "flooded" : "slow");
    return 0;
}

int main(int count, char **words) {
    if (count < 2) return 64;
    if (!strcmp(words[1], "who")) return say_who();
    if (!strcmp(words[1], "dial")) return dial_all(count - 2, words + 2);
    if (!strcmp(words[1], "random")) return random_at_once();
    if (!strcmp(words[1], "orphans")) return leave_orphans(atoi(words[2]));
    if (!strcmp(words[1], "eat")) return eat();
    if (!strcmp(words[1], "hold")) return hold_init(!strcmp(words[2], "all"));
    if (!strcmp(words[1], "crash")) return crash_init();
    if (!strcmp(words[1], "sync")) return write_and_sync(words[2]);
    if (!strcmp(words[1], "files")) return open_often(words[2], atoi(words[3]));
    if (!strcmp(words[1], "flood")) return flood_host(atoi(words[2]));
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
