/* Folders with many entries: reading them while they change, and emptying them. */

#define _GNU_SOURCE
#include "frame.h"

#include <dirent.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

enum { MANY = 10000 };

/* Only one run of all makes all of them: whose folder it is makes no difference. */
static int many(void) { return is_share && geteuid() == 0 ? MANY : MANY / 10; }

static void name_of(char *name, int number) { sprintf(name, "a-file-of-many-%05d", number); }

static void make_many(void) {
    must(mkdir("many", 0755));
    must(chdir("many"));
    char name[32];
    for (int number = 0; number < many(); number++) {
        name_of(name, number);
        must(mknod(name, S_IFREG | 0644, 0));
    }
}

/* How often each was seen; others do not count. */
static void count(DIR *entries, int *seen) {
    memset(seen, 0, MANY * sizeof *seen);
    rewinddir(entries);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(entries)); errno = 0) {
        int number;
        if (sscanf(entry->d_name, "a-file-of-many-%d", &number) == 1) seen[number]++;
    }
    same(errno, 0);
}

static void ten_thousand_entries(void) {
    make_many();
    static int seen[MANY];
    DIR *entries = opendir(".");
    is(entries);
    count(entries, seen);
    for (int each = 0; each < many(); each++) same(seen[each], 1);
    /* Places that were told are found again. */
    rewinddir(entries);
    static char names[100][256];
    static long places[100];
    for (int each = 0; each < many(); each++) {
        long place = telldir(entries);
        struct dirent *entry = readdir(entries);
        is(entry);
        if (each % 100 == 50) {
            places[each / 100] = place;
            strcpy(names[each / 100], entry->d_name);
        }
    }
    for (int each = many() / 100 - 1; each >= 0; each -= 7) {
        seekdir(entries, places[each]);
        struct dirent *entry = readdir(entries);
        is(entry && !strcmp(entry->d_name, names[each]));
    }
    /* While others come and go, whoever stays is seen once. */
    pid_t child = must(fork());
    if (child == 0) {
        char name[32];
        for (int turn = 0; turn < 150; turn++) {
            sprintf(name, "comes-%d", turn);
            must(close(must(open(name, O_WRONLY | O_CREAT | O_EXCL, 0644))));
            name_of(name, turn * 2 + 1);
            must(unlink(name));
        }
        _exit(0);
    }
    int status, turns = 0;
    while (waitpid(child, &status, WNOHANG) == 0 || turns++ == 0) {
        count(entries, seen);
        for (int each = 0; each < many(); each++)
            if (each % 2 == 0 || each >= 300) same(seen[each], 1);
            else is(seen[each] <= 1);
    }
    same(status, 0);
    /* As `rm -r` does it. */
    rewinddir(entries);
    int removed = 0;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        must(unlink(entry->d_name));
        removed++;
    }
    same(removed, many());
    must(chdir(".."));
    must(rmdir("many"));
}

static void small_buffers(void) {
    char name[300];
    for (int number = 0; number < 50; number++) {
        sprintf(name, "%0*d", 1 + number * 5, number);
        put(name, "");
    }
    int fd = must(open(".", O_RDONLY | O_DIRECTORY)), seen = 0;
    char buffer[300];
    for (long length; (length = must(syscall(SYS_getdents64, fd, buffer, sizeof buffer)));)
        for (long at = 0; at < length; seen++) at += *(unsigned short *)(buffer + at + 16);
    same(seen, 52);
    must(lseek(fd, 0, SEEK_SET));
    refuses(EINVAL, syscall(SYS_getdents64, fd, buffer, 20));
    put("file", "");
    refuses(ENOTDIR, syscall(SYS_getdents64, must(open("file", O_RDONLY)), buffer, 300));
}

static void kinds_and_numbers_of_entries(void) {
    put("file", "");
    must(mkdir("folder", 0755));
    must(symlink("x", "link"));
    must(mkfifo("fifo", 0644));
    must(mknod("socket", S_IFSOCK | 0644, 0));
    DIR *entries = opendir(".");
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(entries)); seen++) {
        struct stat found;
        must(lstat(entry->d_name, &found));
        if (entry->d_type != DT_UNKNOWN) same(entry->d_type, IFTODT(found.st_mode));
        if (strcmp(entry->d_name, "..")) same(entry->d_ino, found.st_ino);
    }
    same(seen, 7);
}

static void new_entries_are_seen_at_once(void) {
    DIR *entries = opendir(".");
    char name[32];
    for (int number = 0; number < 20; number++) {
        sprintf(name, "%d", number);
        refuses(ENOENT, access(name, F_OK));
        put(name, "");
        must(access(name, F_OK));
        rewinddir(entries);
        int seen = 0;
        while (readdir(entries)) seen++;
        same(seen, number + 3);
        same(facts(name).st_nlink, 1);
    }
}

static void processes_in_one_folder(void) {
    pid_t children[4];
    for (int each = 0; each < 4; each++) {
        if ((children[each] = must(fork()))) continue;
        char name[32], other[32];
        for (int turn = 0; turn < 100; turn++) {
            sprintf(name, "%d-%d", each, turn);
            sprintf(other, "%d-%d-moved", each, turn);
            put(name, name);
            must(rename(name, other));
            is(!strcmp(get(other), name));
            must(mkdir(name, 0755));
            if (turn % 2) must(unlink(other));
            must(rmdir(name));
            int fd = open("fought-over", O_WRONLY | O_CREAT | O_EXCL, 0644);
            if (fd < 0) same(errno, EEXIST);
            else must(close(fd)), must(unlink("fought-over"));
        }
        _exit(0);
    }
    for (int each = 0; each < 4; each++) reap(children[each]);
    DIR *entries = opendir(".");
    int seen = 0;
    while (readdir(entries)) seen++;
    same(seen, 2 + 4 * 50);
}

static void watching_own_changes(void) {
    int watch = must(inotify_init1(IN_NONBLOCK));
    must(inotify_add_watch(watch, ".", IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_MOVED_TO));
    put("file", "text");
    must(rename("file", "moved"));
    must(unlink("moved"));
    char buffer[4096];
    unsigned seen = 0;
    long length = must(read(watch, buffer, sizeof buffer));
    for (long at = 0; at < length;) {
        struct inotify_event *event = (struct inotify_event *)(buffer + at);
        seen |= event->mask;
        at += (long)(sizeof *event + event->len);
    }
    same(seen, IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_MOVED_TO);
}

const struct check folders_checks[] = {
    {"ten_thousand_entries", ten_thousand_entries},
    {"small_buffers", small_buffers},
    {"kinds_and_numbers_of_entries", kinds_and_numbers_of_entries},
    {"new_entries_are_seen_at_once", new_entries_are_seen_at_once},
    {"processes_in_one_folder", processes_in_one_folder},
    {"watching_own_changes", watching_own_changes},
    {NULL, NULL},
};
