/* Checks what programs expect of a file system, in the folder that is named, and prints a line a check.
 *
 * `files share|disk FOLDER [CHECK]` runs all checks or one; the rest are single acts that a test on the host plays a part in.
 */

#define _GNU_SOURCE
#include "frame.h"

#include <stdarg.h>

int is_share;

int act(int count, char **words);

void fail(const char *format, ...) {
    va_list words;
    va_start(words, format);
    vprintf(format, words);
    va_end(words);
    fflush(stdout);
    _exit(1);
}

long must_(const char *call, int line, long result) {
    if (result == -1) fail("line %d: %s: %s", line, call, strerror(errno));
    return result;
}

void same_(const char *what, int line, long long left, long long right) {
    if (left != right) fail("line %d: %s is %lld, not %lld", line, what, left, right);
}

void put(const char *name, const char *text) {
    int fd = must(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    same(write(fd, text, strlen(text)), strlen(text));
    must(close(fd));
}

const char *get(const char *name) {
    static char text[4096];
    int fd = must(open(name, O_RDONLY));
    text[must(read(fd, text, sizeof text - 1))] = 0;
    must(close(fd));
    return text;
}

struct stat facts(const char *name) {
    struct stat found;
    must(lstat(name, &found));
    return found;
}

void reap(pid_t child) {
    int status;
    must(waitpid(child, &status, 0));
    if (status != 0) _exit(1);
}

struct gate new_gate(void) {
    struct gate gate;
    must(pipe(gate.ends));
    return gate;
}

void open_gate(struct gate gate) { same(write(gate.ends[1], "x", 1), 1); }

void pass_gate(struct gate gate) {
    char byte;
    same(read(gate.ends[0], &byte, 1), 1);
}

static void run_check(const struct check *check) {
    printf("%s ", check->name);
    fflush(stdout);
    must(mkdir(check->name, 0755));
    pid_t child = must(fork());
    if (child == 0) {
        alarm(60);
        must(chdir(check->name));
        check->run();
        printf("ok");
        fflush(stdout);
        _exit(0);
    }
    int status;
    must(waitpid(child, &status, 0));
    if (WIFSIGNALED(status)) printf("ended by signal %d", WTERMSIG(status));
    printf("\n");
    fflush(stdout);
}

int main(int count, char **words) {
    if (count < 3 || count > 4 || (strcmp(words[1], "share") && strcmp(words[1], "disk"))) return act(count, words);
    is_share = !strcmp(words[1], "share");
    umask(022);
    must(chdir(words[2]));
    const struct check *const lists[] = {names_checks, content_checks, locks_checks,
                                         folders_checks, kinds_checks, facts_checks};
    for (size_t list = 0; list < sizeof lists / sizeof *lists; list++)
        for (const struct check *check = lists[list]; check->name; check++)
            if (count == 3 || !strcmp(words[3], check->name)) run_check(check);
    return 0;
}
