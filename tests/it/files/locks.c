/* Locks between processes of one machine. */

#define _GNU_SOURCE
#include "frame.h"

#include <poll.h>
#include <sys/file.h>

static struct flock range(short type, off_t start, off_t length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static int open_it(void) { return must(open("file", O_RDWR | O_CREAT, 0644)); }

/* Whether the gate is still closed after a while. */
static int is_waiting(struct gate gate) {
    struct pollfd end = {.fd = gate.ends[0], .events = POLLIN};
    return must(poll(&end, 1, 100)) == 0;
}

static void flock_between_processes(void) {
    int fd = open_it();
    must(flock(fd, LOCK_EX));
    struct gate tried = new_gate(), got = new_gate();
    pid_t child = must(fork());
    if (child == 0) {
        int own = open_it();
        refuses(EWOULDBLOCK, flock(own, LOCK_EX | LOCK_NB));
        refuses(EWOULDBLOCK, flock(own, LOCK_SH | LOCK_NB));
        open_gate(tried);
        must(flock(own, LOCK_EX));
        open_gate(got);
        _exit(0); /* which gives it back */
    }
    pass_gate(tried);
    is(is_waiting(got));
    must(flock(fd, LOCK_UN));
    pass_gate(got);
    must(flock(fd, LOCK_EX));
    reap(child);
    must(flock(fd, LOCK_SH));
    int second = open_it();
    must(flock(second, LOCK_SH | LOCK_NB));
    refuses(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
    must(close(fd));
    must(flock(second, LOCK_EX | LOCK_NB));
}

static void flock_of_a_folder(void) {
    must(mkdir("folder", 0755));
    int first = must(open("folder", O_RDONLY)), second = must(open("folder", O_RDONLY));
    must(flock(first, LOCK_EX));
    refuses(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
}

static void fcntl_between_processes(void) {
    int fd = open_it();
    struct flock lock = range(F_WRLCK, 10, 10);
    must(fcntl(fd, F_SETLK, &lock));
    struct gate tried = new_gate(), got = new_gate(), end = new_gate();
    pid_t parent = getpid(), child = must(fork());
    if (child == 0) {
        int own = open_it();
        struct flock wanted = range(F_WRLCK, 19, 10), beside = range(F_WRLCK, 20, 10), shared = range(F_RDLCK, 0, 11);
        refuses(EAGAIN, fcntl(own, F_SETLK, &wanted));
        refuses(EAGAIN, fcntl(own, F_SETLK, &shared));
        must(fcntl(own, F_SETLK, &beside));
        must(fcntl(own, F_GETLK, &wanted));
        same(wanted.l_type, F_WRLCK);
        same(wanted.l_start, 10);
        same(wanted.l_len, 10);
        same(wanted.l_pid, parent);
        open_gate(tried);
        wanted = range(F_WRLCK, 0, 0);
        must(fcntl(own, F_SETLKW, &wanted));
        open_gate(got);
        pass_gate(end);
        _exit(0);
    }
    pass_gate(tried);
    is(is_waiting(got));
    /* Any of its descriptors that a process closes takes its locks along. */
    must(close(open_it()));
    pass_gate(got);
    struct flock probe = range(F_RDLCK, 0, 1);
    refuses(EAGAIN, fcntl(fd, F_SETLK, &probe));
    open_gate(end);
    must(fcntl(fd, F_SETLKW, &probe));
    reap(child);
}

static void fcntl_of_open_files(void) {
    int first = open_it(), second = open_it();
    struct flock lock = range(F_WRLCK, 0, 0), again = range(F_WRLCK, 5, 1), classic = range(F_RDLCK, 0, 1);
    must(fcntl(first, F_OFD_SETLK, &lock));
    refuses(EAGAIN, fcntl(second, F_OFD_SETLK, &again));
    refuses(EAGAIN, fcntl(second, F_SETLK, &classic));
    struct gate got = new_gate();
    pid_t child = must(fork());
    if (child == 0) {
        must(close(first)); /* the parent's copy keeps the lock */
        refuses(EAGAIN, fcntl(second, F_OFD_SETLK, &again));
        again = range(F_WRLCK, 5, 1);
        must(fcntl(second, F_OFD_SETLKW, &again));
        open_gate(got);
        _exit(0);
    }
    is(is_waiting(got));
    must(close(first));
    pass_gate(got);
    reap(child);
}

static void lockf_and_unlinked_files(void) {
    int fd = open_it();
    must(unlink("file"));
    must(lockf(fd, F_LOCK, 0));
    pid_t child = must(fork());
    if (child == 0) {
        char path[64];
        sprintf(path, "/proc/self/fd/%d", fd);
        int own = must(open(path, O_RDWR));
        refuses(EAGAIN, lockf(own, F_TLOCK, 0));
        _exit(0);
    }
    reap(child);
}

const struct check locks_checks[] = {
    {"flock_between_processes", flock_between_processes},
    {"flock_of_a_folder", flock_of_a_folder},
    {"fcntl_between_processes", fcntl_between_processes},
    {"fcntl_of_open_files", fcntl_of_open_files},
    {"lockf_and_unlinked_files", lockf_and_unlinked_files},
    {NULL, NULL},
};
