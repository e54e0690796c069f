/* What all checks of a file system share: each runs in a process and an empty folder of its own, and says one line. */

#ifndef FRAME_H
#define FRAME_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct check {
    const char *name;
    void (*run)(void);
};

/* Lists of checks, each ended by an empty one. */
extern const struct check names_checks[], content_checks[], locks_checks[], folders_checks[], kinds_checks[],
    facts_checks[];

/* Whether the file system is a share, of which some things differ by design; else a plain disk. */
extern int is_share;

/* Ends the check with these words. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The call must succeed; gives its result. */
#define must(call) must_(#call, __LINE__, (long)(call))
long must_(const char *call, int line, long result);

/* The call must fail with this error. */
#define refuses(error, call)                                                                                           \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        if ((long)(call) != -1) fail("line %d: succeeded: %s", __LINE__, #call);                                       \
        if (errno != (error)) fail("line %d: %s: %s", __LINE__, #call, strerror(errno));                               \
    } while (0)

/* The condition must hold. */
#define is(condition)                                                                                                  \
    do {                                                                                                               \
        if (!(condition)) fail("line %d: not so: %s", __LINE__, #condition);                                           \
    } while (0)

/* The numbers must be the same. */
#define same(left, right) same_(#left, __LINE__, (long long)(left), (long long)(right))
void same_(const char *what, int line, long long left, long long right);

/* Makes a file with this text. */
void put(const char *name, const char *text);

/* The text of a small file. */
const char *get(const char *name);

/* The facts about a file, of a link itself. */
struct stat facts(const char *name);

/* Waits for a process of the check, which must end well. */
void reap(pid_t child);

/* Two ends through which processes of a check wait for one another. */
struct gate { int ends[2]; };
struct gate new_gate(void);
void open_gate(struct gate gate);
void pass_gate(struct gate gate);

#endif
