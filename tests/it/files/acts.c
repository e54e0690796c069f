/* Single acts, of which each is a part of a test that has another part on the host. */

#define _GNU_SOURCE
#include "frame.h"

#include <dirent.h>
#include <sys/mman.h>
#include <time.h>

static double now(void) {
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    return (double)clock.tv_sec + (double)clock.tv_nsec / 1e9;
}

static int fd;
static char *map;

static int sees_content(void) {
    char text[8] = "";
    same(pread(fd, text, 7, 0), 3);
    return !strcmp(text, "new");
}

static int sees_mapping(void) { return sees_content() && !memcmp(map, "new", 3); }

static int sees_growth(void) {
    struct stat found;
    must(fstat(fd, &found));
    char text[32] = "";
    return found.st_size == 12 && pread(fd, text, 31, 0) == 12 && !strcmp(text, "old and more");
}

static int sees_replaced(void) { return !strcmp(get("replaced"), "another file"); }
static int sees_new(void) { return access("new", F_OK) == 0; }
static int sees_removed(void) { return access("removed", F_OK) == -1 && errno == ENOENT; }
static int sees_mode(void) { return (facts("mode").st_mode & 07777) == 0640; }

static int entries(void) {
    DIR *entries = opendir("listed");
    is(entries);
    int seen = 0;
    while (readdir(entries)) seen++;
    closedir(entries);
    return seen - 2;
}

static int sees_listed(void) { return entries() == 2; }
static int sees_moved(void) { return access("moved/in", F_OK) == -1 && access("away/in", F_OK) == 0; }
static int sees_other_kind(void) { return S_ISDIR(facts("kind").st_mode); }

/* Says that it is time for the host to act, and after how many milliseconds that is seen. */
static void see(const char *what, int (*is_seen)(void)) {
    is(!is_seen());
    printf("now %s\n", what);
    fflush(stdout);
    double start = now();
    char name[64];
    sprintf(name, "../told-%s", what);
    while (!is_seen()) {
        if (now() - start > 20) fail("%s is not seen", what);
        /* The host may be slow; it counts from when it is done. */
        if (access(name, F_OK) == -1) start = now();
    }
    printf("%s after %.0f\n", what, (now() - start) * 1000);
    fflush(stdout);
}

static void see_all(void) {
    char text[8];
    fd = must(open("content", O_RDONLY));
    same(read(fd, text, 8), 3);
    see("content", sees_content);
    fd = must(open("mapping", O_RDONLY));
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    is(map != MAP_FAILED && !memcmp(map, "old", 3));
    see("mapping", sees_mapping);
    fd = must(open("growth", O_RDONLY));
    same(read(fd, text, 8), 3);
    see("growth", sees_growth);
    see("replaced", sees_replaced);
    see("new", sees_new);
    must(access("removed", F_OK));
    see("removed", sees_removed);
    see("mode", sees_mode);
    same(entries(), 3);
    see("listed", sees_listed);
    must(access("moved/in", F_OK));
    see("moved", sees_moved);
    must(access("kind", F_OK));
    see("kind", sees_other_kind);
}

/* Says how a call ended. */
static void tell(const char *what, long result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
    fflush(stdout);
}

/* Writes until nothing more fits, and says why not; then what else does not. */
static void fill(void) {
    static char chunk[1 << 16];
    memset(chunk, 'x', sizeof chunk);
    must(mkdir("folder", 0755));
    put("folder/kept", "kept");
    int hole = must(open("hole", O_RDWR | O_CREAT, 0644));
    must(ftruncate(hole, 1 << 20));
    int large = must(open("large", O_RDWR | O_CREAT, 0644));
    long written = 0, length;
    while ((length = write(large, chunk, sizeof chunk)) > 0) {
        written += length;
        is(written < 64 << 20);
    }
    tell("write", length);
    while ((length = write(large, chunk, 512)) > 0) written += length;
    same(facts("large").st_size, written);
    tell("fsync of what fits", fsync(large));
    tell("fallocate", fallocate(hole, 0, 0, 1 << 20));
    char *space = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, hole, 0);
    is(space != MAP_FAILED);
    memset(space, 'y', 1 << 20);
    tell("msync", msync(space, 1 << 20, MS_SYNC));
    must(munmap(space, 1 << 20));
    close(hole);
    must(unlink("hole"));
    is(!strcmp(get("folder/kept"), "kept"));
    must(unlink("large"));
    must(close(large));
    put("small", "again");
    is(!strcmp(get("small"), "again"));
    must(unlink("small"));
    must(unlink("folder/kept"));
    must(rmdir("folder"));
}

/* Makes names until there is no room for more, and says why not. */
static void crowd(void) {
    must(mkdir("folder", 0755));
    put("small", "small");
    char name[32];
    long made = 0, length;
    do sprintf(name, "folder/%ld", made++);
    while ((length = mkdir(name, 0755)) == 0 && made < 10000);
    tell("mkdir", length);
    tell("open", open("folder/more", O_WRONLY | O_CREAT, 0644));
    tell("symlink", symlink("x", "folder/link"));
    tell("mkfifo", mkfifo("folder/fifo", 0644));
    must(rename("small", "renamed"));
    while (--made > 0) {
        sprintf(name, "folder/%ld", made - 1);
        must(rmdir(name));
    }
    must(rmdir("folder"));
    must(unlink("renamed"));
}

/* What the limits of the processes on the host do not allow. */
static void pass_limits(void) {
    fd = must(open("large", O_RDWR | O_CREAT, 0644));
    tell("write below", pwrite(fd, "x", 1, (400 << 20) - 1));
    tell("write past", pwrite(fd, "x", 1, 400 << 20));
    tell("ftruncate past", ftruncate(fd, 401 << 20));
    tell("fallocate past", fallocate(fd, 0, 400 << 20, 1));
    must(unlink("large"));
    put("file", "text");
    int held[2000], count = 0;
    while (count < 2000 && (held[count] = open("file", O_RDONLY)) >= 0) count++;
    tell("open", count < 2000 ? -1 : 0);
    is(count > 100);
    while (count > 0) must(close(held[--count]));
    is(!strcmp(get("file"), "text"));
}

/* Changes a file of the lower layer of an overlay on the host, which makes another file of it there. */
static void change_lower(void) {
    char text[8] = "";
    int before = must(open("file", O_RDONLY));
    same(read(before, text, 7), 3);
    int after = must(open("file", O_WRONLY | O_APPEND));
    same(write(after, "more", 4), 4);
    is(!strcmp(get("file"), "lowmore"));
    must(chmod("file", 0600));
    must(rename("file", "moved"));
    is(!strcmp(get("moved"), "lowmore"));
    must(truncate("moved", 3));
    same(facts("moved").st_size, 3);
    tell("change", 0);
}

int act(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "forty-three")) return 43;
    if (!strcmp(what, "run-for-long")) {
        if (write(1, "x", 1) == 1) pause();
        return 0;
    }
    if (count != 3) return 64;
    must(chdir(words[2]));
    if (!strcmp(what, "see")) return see_all(), 0;
    if (!strcmp(what, "fill")) return fill(), 0;
    if (!strcmp(what, "crowd")) return crowd(), 0;
    if (!strcmp(what, "lower")) return change_lower(), 0;
    if (!strcmp(what, "limits")) return pass_limits(), 0;
    return 64;
}
