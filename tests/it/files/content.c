/* Content: appending, mapping, holes, reservations, copies, limits. */

#define _GNU_SOURCE
#include "frame.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void append_of_two_processes(void) {
    enum { LINES = 300, LENGTH = 61 };
    pid_t children[2];
    for (int each = 0; each < 2; each++) {
        if ((children[each] = must(fork()))) continue;
        int fd = must(open("log", O_WRONLY | O_APPEND | O_CREAT, 0644));
        char line[LENGTH];
        memset(line, 'a' + each, LENGTH);
        line[LENGTH - 1] = '\n';
        for (int number = 0; number < LINES; number++) same(write(fd, line, LENGTH), LENGTH);
        _exit(0);
    }
    for (int each = 0; each < 2; each++) reap(children[each]);
    same(facts("log").st_size, 2 * LINES * LENGTH);
    FILE *log = fopen("log", "r");
    char line[LENGTH + 1];
    int counts[2] = {0, 0};
    while (fgets(line, sizeof line, log)) {
        for (int each = 1; each < LENGTH - 1; each++) is(line[each] == line[0]);
        counts[line[0] - 'a']++;
    }
    same(counts[0], LINES);
    same(counts[1], LINES);
}

static void append_whatever_the_position(void) {
    put("file", "0123");
    int fd = must(open("file", O_RDWR | O_APPEND));
    must(lseek(fd, 0, SEEK_SET));
    same(write(fd, "4", 1), 1);
    same(lseek(fd, 0, SEEK_CUR), 5);
    same(pwrite(fd, "5", 1, 0), 1);
    is(!strcmp(get("file"), "012345"));
    must(fcntl(fd, F_SETFL, 0));
    same(pwrite(fd, "x", 1, 0), 1);
    must(fcntl(fd, F_SETFL, O_APPEND));
    same(write(fd, "6", 1), 1);
    is(!strcmp(get("file"), "x123456"));
}

static void mapping_is_shared(void) {
    enum { SIZE = 3 * 4096 };
    int fd = must(open("mapped", O_RDWR | O_CREAT, 0644));
    must(ftruncate(fd, SIZE));
    char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    is(map != MAP_FAILED);
    struct gate written = new_gate(), read_back = new_gate();
    pid_t child = must(fork());
    if (child == 0) {
        int own = must(open("mapped", O_RDWR));
        char *other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
        is(other != MAP_FAILED);
        strcpy(other + 4000, "over the edge of a page, written by a child, as long as it takes to get over the edge of it");
        open_gate(written);
        pass_gate(read_back);
        is(!strcmp(other, "by the parent"));
        _exit(0);
    }
    pass_gate(written);
    is(!strncmp(map + 4000, "over the edge", 13));
    strcpy(map, "by the parent");
    open_gate(read_back);
    reap(child);
    char text[32];
    same(pread(fd, text, 14, 0), 14);
    is(!strcmp(text, "by the parent"));
    same(pwrite(fd, "to the mapping", 15, 8192), 15);
    is(!strcmp(map + 8192, "to the mapping"));
    must(msync(map, SIZE, MS_SYNC));
    must(munmap(map, SIZE));
    struct stat before;
    must(fstat(fd, &before));
    same(before.st_size, SIZE);
    /* What nobody synced is there all the same once the file is closed. */
    map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(map + 100, "without msync");
    must(munmap(map, SIZE));
    must(close(fd));
    fd = must(open("mapped", O_RDONLY));
    same(pread(fd, text, 14, 100), 14);
    is(!strcmp(text, "without msync"));
}

static void mapping_is_private(void) {
    put("file", "on the disk");
    int fd = must(open("file", O_RDONLY));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    is(map != MAP_FAILED);
    strcpy(map, "in memory");
    is(!strcmp(get("file"), "on the disk"));
    refuses(EACCES, (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }

static void mapping_of_a_truncated_file(void) {
    int fd = must(open("file", O_RDWR | O_CREAT, 0644));
    must(ftruncate(fd, 8192));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    is(map != MAP_FAILED);
    memset(map, 'x', 8192);
    must(truncate("file", 10));
    signal(SIGBUS, jump);
    if (sigsetjmp(back, 1) == 0) {
        map[5000] = 'y';
        fail("no SIGBUS past the end");
    }
    same(map[9], 'x');
    same(map[10], 0);
    must(ftruncate(fd, 8192));
    same(map[9], 'x');
    same(map[10], 0);
    same(map[5000], 0);
    char text[2];
    same(pread(fd, text, 2, 9), 2);
    same(text[1], 0);
}

static void holes_over_4_gib(void) {
    const off_t far = 5LL << 30, end = far + 5;
    int fd = must(open("sparse", O_RDWR | O_CREAT, 0644));
    same(write(fd, "begin", 5), 5);
    same(pwrite(fd, "there", 5, far), 5);
    struct stat found;
    must(fsync(fd));
    must(fstat(fd, &found));
    same(found.st_size, end);
    is(found.st_blocks > 0 && found.st_blocks < 4096);
    same(lseek(fd, 0, SEEK_DATA), 0);
    off_t hole = must(lseek(fd, 0, SEEK_HOLE));
    is(hole >= 5 && hole < 1 << 22);
    off_t data = must(lseek(fd, hole, SEEK_DATA));
    is(data > far - (1 << 22) && data <= far);
    same(lseek(fd, far, SEEK_HOLE), end);
    refuses(ENXIO, lseek(fd, end, SEEK_DATA));
    same(lseek(fd, -5, SEEK_END), far);
    char text[6] = "";
    same(read(fd, text, 5), 5);
    is(!strcmp(text, "there"));
    same(pread(fd, text, 5, far / 2), 5);
    for (int each = 0; each < 5; each++) same(text[each], 0);
    must(ftruncate(fd, 6LL << 30));
    must(fstat(fd, &found));
    same(found.st_size, 6LL << 30);
    must(ftruncate(fd, (4LL << 30) + 1));
    refuses(ENXIO, lseek(fd, 1 << 22, SEEK_DATA));
    must(unlink("sparse"));
}

static void reservations(void) {
    int fd = must(open("file", O_RDWR | O_CREAT, 0644));
    struct stat found;
    must(fallocate(fd, 0, 0, 1 << 20));
    must(fstat(fd, &found));
    same(found.st_size, 1 << 20);
    is(found.st_blocks >= 2048);
    must(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20));
    must(fstat(fd, &found));
    same(found.st_size, 1 << 20);
    is(found.st_blocks >= 4096);
    char buffer[8192];
    memset(buffer, 'x', sizeof buffer);
    same(pwrite(fd, buffer, 8192, 4096), 8192);
    must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    same(pread(fd, buffer, 8192, 4096), 8192);
    is(buffer[0] == 0 && buffer[4095] == 0 && buffer[4096] == 'x');
    same(posix_fallocate(fd, 2 << 20, 100), 0);
    must(fstat(fd, &found));
    same(found.st_size, (2 << 20) + 100);
    refuses(EINVAL, fallocate(fd, 0, 0, 0));
    int read_only = must(open("file", O_RDONLY));
    refuses(EBADF, fallocate(read_only, 0, 0, 1));
}

static void copies_inside_the_kernel(void) {
    enum { SIZE = 300000 };
    static char buffer[SIZE], other[SIZE];
    for (int each = 0; each < SIZE; each++) buffer[each] = (char)(each * 7);
    int from = must(open("from", O_RDWR | O_CREAT, 0644)), to = must(open("to", O_RDWR | O_CREAT, 0644));
    same(write(from, buffer, SIZE), SIZE);
    off_t at_from = 1000, at_to = 0;
    while (at_to < SIZE - 1000) is(must(copy_file_range(from, &at_from, to, &at_to, SIZE, 0)) > 0);
    same(copy_file_range(from, &at_from, to, &at_to, SIZE, 0), 0);
    same(pread(to, other, SIZE, 0), SIZE - 1000);
    is(!memcmp(buffer + 1000, other, SIZE - 1000));
    same(facts("to").st_size, SIZE - 1000);
    at_from = 0, at_to = 10;
    refuses(EINVAL, copy_file_range(from, &at_from, from, &at_to, 100, 0));
    must(ftruncate(to, 0));
    must(lseek(to, 0, SEEK_SET));
    off_t start = 0;
    while (start < SIZE) is(must(sendfile(to, from, &start, SIZE)) > 0);
    same(pread(to, other, SIZE, 0), SIZE);
    is(!memcmp(buffer, other, SIZE));
    int pipe_ends[2];
    must(pipe(pipe_ends));
    start = 5;
    same(splice(from, &start, pipe_ends[1], NULL, 4000, 0), 4000);
    start = 0;
    same(splice(pipe_ends[0], NULL, to, &start, 4000, 0), 4000);
    same(pread(to, other, 4000, 0), 4000);
    is(!memcmp(buffer + 5, other, 4000));
}

static void large_and_odd_pieces(void) {
    enum { SIZE = (5 << 20) + 123 };
    char *buffer = malloc(SIZE), *other = malloc(SIZE);
    for (int each = 0; each < SIZE; each++) buffer[each] = (char)(each * 31 + each / 4096);
    int fd = must(open("file", O_RDWR | O_CREAT, 0644));
    same(pwrite(fd, buffer, SIZE, 77), SIZE);
    same(pread(fd, other, SIZE, 77), SIZE);
    is(!memcmp(buffer, other, SIZE));
    struct iovec pieces[3] = {{buffer, 1}, {buffer + 1, 4097}, {buffer + 4098, 10}};
    same(pwritev(fd, pieces, 3, 4090), 4108);
    same(pread(fd, other, 4108, 4090), 4108);
    is(!memcmp(buffer, other, 4108));
    same(pread(fd, other, 100, SIZE + 77 - 10), 10);
    same(pread(fd, other, 100, SIZE + 77), 0);
    refuses(EINVAL, pread(fd, other, 1, -1));
    void *volatile nowhere = (void *)8;
    refuses(EFAULT, pread(fd, nowhere, 100, 0));
    struct stat found;
    must(fstat(fd, &found));
    same(found.st_size, SIZE + 77);
}

static void direct_io(void) {
    enum { SIZE = 1 << 16 };
    char *buffer;
    is(posix_memalign((void **)&buffer, 4096, SIZE) == 0);
    int direct = open("file", O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (direct < 0 && !is_share && errno == EINVAL) return; /* a tmpfs */
    must(direct);
    int plain = must(open("file", O_RDWR));
    memset(buffer, 'd', SIZE);
    same(write(direct, buffer, SIZE), SIZE);
    char text[8];
    same(pread(plain, text, 8, SIZE - 8), 8);
    is(text[7] == 'd');
    same(pwrite(plain, "plain", 5, 4096), 5);
    same(pread(direct, buffer, 4096, 4096), 4096);
    is(!memcmp(buffer, "plain", 5) && buffer[5] == 'd');
    same(pread(direct, buffer, SIZE, SIZE), 0);
}

static void modes_of_opening(void) {
    put("file", "text");
    int reader = must(open("file", O_RDONLY)), writer = must(open("file", O_WRONLY));
    char text[8];
    refuses(EBADF, write(reader, "x", 1));
    refuses(EBADF, read(writer, text, 1));
    refuses(EINVAL, ftruncate(reader, 0));
    must(open("file", O_RDONLY | O_TRUNC));
    same(facts("file").st_size, 0);
    /* The mode holds from the next opening on. */
    int unreadable = must(open("unreadable", O_RDWR | O_CREAT | O_EXCL, 0));
    same(write(unreadable, "text", 4), 4);
    same(pread(unreadable, text, 4, 0), 4);
    int place = must(open("file", O_PATH));
    struct stat found;
    must(fstat(place, &found));
    refuses(EBADF, read(place, text, 1));
    must(open("file", O_RDONLY | O_NOATIME));
    int synced = must(open("file", O_WRONLY | O_SYNC | O_NONBLOCK | O_NOCTTY));
    same(write(synced, "synced", 6), 6);
    is(!strcmp(get("file"), "synced"));
}

static void limits_of_the_process(void) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    must(getrlimit(RLIMIT_FSIZE, &before));
    limit = (struct rlimit){5000, before.rlim_max};
    must(setrlimit(RLIMIT_FSIZE, &limit));
    int fd = must(open("file", O_RDWR | O_CREAT, 0644));
    static char buffer[8192];
    same(write(fd, buffer, 8192), 5000);
    refuses(EFBIG, write(fd, buffer, 1));
    refuses(EFBIG, ftruncate(fd, 5001));
    refuses(EFBIG, fallocate(fd, 0, 0, 6000));
    must(setrlimit(RLIMIT_FSIZE, &before));
    limit = (struct rlimit){fd + 4, fd + 4};
    must(setrlimit(RLIMIT_NOFILE, &limit));
    for (int each = 1; each < 4; each++) must(open("file", O_RDONLY));
    refuses(EMFILE, open("file", O_RDONLY));
}

static void syncing(void) {
    put("file", "text");
    int fd = must(open("file", O_RDWR)), folder = must(open(".", O_RDONLY | O_DIRECTORY));
    must(fsync(fd));
    must(fdatasync(fd));
    must(fsync(folder));
    must(fdatasync(folder));
    must(syncfs(fd));
    must(syncfs(folder));
    must(sync_file_range(fd, 0, 4, SYNC_FILE_RANGE_WRITE));
    sync();
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    is(map != MAP_FAILED);
    map[0] = 'T';
    must(syncfs(fd));
    map[1] = 'E';
    must(fsync(fd));
}

const struct check content_checks[] = {
    {"append_of_two_processes", append_of_two_processes},
    {"append_whatever_the_position", append_whatever_the_position},
    {"mapping_is_shared", mapping_is_shared},
    {"mapping_is_private", mapping_is_private},
    {"mapping_of_a_truncated_file", mapping_of_a_truncated_file},
    {"holes_over_4_gib", holes_over_4_gib},
    {"reservations", reservations},
    {"copies_inside_the_kernel", copies_inside_the_kernel},
    {"large_and_odd_pieces", large_and_odd_pieces},
    {"direct_io", direct_io},
    {"modes_of_opening", modes_of_opening},
    {"limits_of_the_process", limits_of_the_process},
    {"syncing", syncing},
    {NULL, NULL},
};
