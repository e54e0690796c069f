/* Facts about files: times, modes, owners, rights, extended attributes, space. */

#define _GNU_SOURCE
#include "frame.h"

#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>

static void assert_times(const char *name, struct timespec access, struct timespec change) {
    struct stat found = facts(name);
    same(found.st_atim.tv_sec, access.tv_sec);
    same(found.st_atim.tv_nsec, access.tv_nsec);
    same(found.st_mtim.tv_sec, change.tv_sec);
    same(found.st_mtim.tv_nsec, change.tv_nsec);
}

static int is_later(struct timespec left, struct timespec right) {
    return left.tv_sec > right.tv_sec || (left.tv_sec == right.tv_sec && left.tv_nsec > right.tv_nsec);
}

static void wait_a_moment(void) {
    struct timespec moment = {0, 20000000};
    nanosleep(&moment, NULL);
}

static void times_to_the_nanosecond(void) {
    put("file", "text");
    struct timespec times[2] = {{1234567890, 123456789}, {987654321, 999999999}};
    must(utimensat(AT_FDCWD, "file", times, 0));
    assert_times("file", times[0], times[1]);
    struct timespec only[2] = {{0, UTIME_OMIT}, {1, 1}};
    must(utimensat(AT_FDCWD, "file", only, 0));
    assert_times("file", times[0], only[1]);
    struct timespec far[2] = {{-1000, 5}, {5000000000, 7}};
    int fd = must(open("file", O_RDONLY));
    must(futimens(fd, far));
    assert_times("file", far[0], far[1]);
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, clock;
    must(utimensat(AT_FDCWD, "file", now, 0));
    must(clock_gettime(CLOCK_REALTIME, &clock));
    long apart = labs(clock.tv_sec - facts("file").st_mtim.tv_sec);
    is(apart <= 2);
    must(symlink("file", "link"));
    must(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
    assert_times("link", times[0], times[1]);
    is(facts("file").st_mtim.tv_sec != times[1].tv_sec);
    must(mkdir("folder", 0755));
    must(utimensat(AT_FDCWD, "folder", times, 0));
    assert_times("folder", times[0], times[1]);
    must(mkfifo("fifo", 0644));
    must(utimensat(AT_FDCWD, "fifo", times, 0));
    assert_times("fifo", times[0], times[1]);
    struct timespec wrong[2] = {{0, 1000000000}, {0, 0}};
    refuses(EINVAL, utimensat(AT_FDCWD, "file", wrong, 0));
    put("kept", "");
    must(utimensat(AT_FDCWD, "kept", times, 0));
}

static void times_of_changes(void) {
    put("file", "text");
    must(mkdir("folder", 0755));
    struct stat before = facts("file"), folder = facts("folder");
    wait_a_moment();
    int fd = must(open("file", O_RDWR | O_APPEND));
    same(write(fd, "x", 1), 1);
    struct stat after = facts("file");
    is(is_later(after.st_mtim, before.st_mtim) && is_later(after.st_ctim, before.st_ctim));
    wait_a_moment();
    must(chmod("file", 0600));
    before = facts("file");
    is(is_later(before.st_ctim, after.st_ctim) && !is_later(before.st_mtim, after.st_mtim));
    put("folder/new", "");
    struct stat grown = facts("folder");
    is(is_later(grown.st_mtim, folder.st_mtim));
    wait_a_moment();
    must(unlink("folder/new"));
    is(is_later(facts("folder").st_mtim, grown.st_mtim));
    must(ftruncate(fd, 100));
    is(is_later(facts("file").st_mtim, before.st_mtim));
    after = facts("file");
    wait_a_moment();
    must(link("file", "second"));
    is(is_later(facts("file").st_ctim, after.st_ctim));
}

static void modes_and_umask(void) {
    umask(027);
    must(close(must(open("file", O_WRONLY | O_CREAT, 0666))));
    same(facts("file").st_mode, S_IFREG | 0640);
    must(mkdir("folder", 0777));
    same(facts("folder").st_mode, S_IFDIR | 0750);
    must(mkfifo("fifo", 0666));
    same(facts("fifo").st_mode, S_IFIFO | 0640);
    umask(0);
    must(close(must(open("open", O_WRONLY | O_CREAT, 0666))));
    same(facts("open").st_mode, S_IFREG | 0666);
    must(chmod("folder", 01777));
    same(facts("folder").st_mode & 07777, 01777);
    int fd = must(open("file", O_RDWR));
    must(fchmod(fd, 0));
    same(facts("file").st_mode & 07777, 0);
    must(fchmodat(AT_FDCWD, "file", 0751, 0));
    same(facts("file").st_mode & 07777, 0751);
    mode_t kept = is_share ? 0 : 06000;
    must(chmod("file", 06755));
    same(facts("file").st_mode & 07777, kept | 0755);
    must(chmod("folder", 02770));
    same(facts("folder").st_mode & 07777, (kept & 02000) | 0770);
    must(mkdir("folder/below", 0755));
    same(facts("folder/below").st_mode & 07777, (kept & 02000) | 0755);
}

static void owners(void) {
    put("file", "text");
    struct stat found = facts("file");
    same(found.st_uid, geteuid());
    same(found.st_gid, getegid());
    must(chown("file", geteuid(), getegid()));
    must(chown("file", -1, -1));
    if (geteuid() != 0) {
        refuses(EPERM, chown("file", 0, 0));
        refuses(EPERM, chown("file", geteuid() + 1, -1));
        return;
    }
    must(chown("file", 4242, 4343));
    must(mkdir("folder", 0755));
    must(chown("folder", 4242, -1));
    must(symlink("file", "link"));
    must(lchown("link", 4242, 4343));
    /* A share shows all files as the step's user's. */
    found = facts("file");
    same(found.st_uid, is_share ? 0 : 4242);
    same(found.st_gid, is_share ? 0 : 4343);
}

static void rights(void) {
    put("file", "text");
    must(mkdir("folder", 0755));
    put("folder/in", "in");
    must(chmod("file", 0444));
    must(chmod("folder", 0555));
    int is_root = geteuid() == 0;
    if (is_root) {
        must(access("file", W_OK));
        refuses(EACCES, access("file", X_OK));
        must(close(must(open("file", O_RDWR))));
        put("folder/new", "new");
        must(chmod("file", 0));
        is(!strcmp(get("file"), "text"));
        must(chmod("folder", 0));
        is(!strcmp(get("folder/in"), "in"));
        /* Others are held to the modes. */
        pid_t child = must(fork());
        if (child == 0) {
            must(setgid(4343));
            must(setuid(4242));
            refuses(EACCES, open("file", O_RDONLY));
            refuses(EACCES, open("folder/in", O_RDONLY));
            refuses(EACCES, open("new", O_WRONLY | O_CREAT, 0644));
            refuses(EPERM, chmod("file", 0777));
            refuses(EPERM, utimensat(AT_FDCWD, "file", (struct timespec[2]){{1, 1}, {1, 1}}, 0));
            refuses(EACCES, utimensat(AT_FDCWD, "file", NULL, 0));
            refuses(EACCES, rename("file", "moved"));
            refuses(EACCES, unlink("file"));
            _exit(0);
        }
        reap(child);
        must(chmod("folder", 0755));
        return;
    }
    refuses(EACCES, access("file", W_OK));
    refuses(EACCES, open("file", O_RDWR));
    refuses(EACCES, truncate("file", 0));
    refuses(EACCES, open("folder/new", O_WRONLY | O_CREAT, 0644));
    refuses(EACCES, unlink("folder/in"));
    refuses(EACCES, rename("folder/in", "out"));
    must(chmod("folder", 0));
    refuses(EACCES, open("folder/in", O_RDONLY));
    refuses(EACCES, open("folder", O_RDONLY));
    must(chmod("folder", 0700));
    must(chmod("file", 0));
    refuses(EACCES, open("file", O_RDONLY));
    must(utimensat(AT_FDCWD, "file", (struct timespec[2]){{1, 1}, {1, 1}}, 0));
    must(unlink("file"));
}

static void rights_of_a_sticky_folder(void) {
    if (geteuid() != 0) return;
    must(mkdir("sticky", 01777));
    must(chmod("sticky", 01777));
    put("sticky/file", "text");
    must(chmod("sticky/file", 0666));
    pid_t child = must(fork());
    if (child == 0) {
        must(setgid(4343));
        must(setuid(4242));
        refuses(EPERM, unlink("sticky/file"));
        refuses(EPERM, rename("sticky/file", "sticky/moved"));
        put("sticky/file", "others write it");
        put("sticky/own", "own");
        _exit(0);
    }
    reap(child);
    must(unlink("sticky/own"));
}

static void extended_attributes(void) {
    put("file", "text");
    must(mkdir("folder", 0755));
    const char *const places[] = {"file", "folder"};
    static char value[1024];
    memset(value, 'v', sizeof value);
    char back[2048];
    if (getxattr("file", "user.absent", back, sizeof back) == -1 && errno == EOPNOTSUPP) fail("no extended attributes");
    for (int each = 0; each < 2; each++) {
        const char *name = places[each];
        refuses(ENODATA, getxattr(name, "user.absent", back, sizeof back));
        must(setxattr(name, "user.text", "value", 5, 0));
        must(setxattr(name, "user.long", value, sizeof value, XATTR_CREATE));
        must(setxattr(name, "user.empty", "", 0, 0));
        same(getxattr(name, "user.text", back, sizeof back), 5);
        is(!memcmp(back, "value", 5));
        same(getxattr(name, "user.long", back, sizeof back), sizeof value);
        is(!memcmp(back, value, sizeof value));
        same(getxattr(name, "user.long", NULL, 0), sizeof value);
        refuses(ERANGE, getxattr(name, "user.long", back, 10));
        same(getxattr(name, "user.empty", back, sizeof back), 0);
        refuses(EEXIST, setxattr(name, "user.text", "x", 1, XATTR_CREATE));
        refuses(ENODATA, setxattr(name, "user.absent", "x", 1, XATTR_REPLACE));
        must(setxattr(name, "user.text", "second", 6, XATTR_REPLACE));
        same(getxattr(name, "user.text", back, sizeof back), 6);
        long length = must(listxattr(name, back, sizeof back)), seen = 0;
        for (char *at = back; at < back + length; at += strlen(at) + 1) seen += !strncmp(at, "user.", 5);
        same(seen, 3);
        same(listxattr(name, NULL, 0), length);
        refuses(ERANGE, listxattr(name, back, 3));
        must(removexattr(name, "user.text"));
        refuses(ENODATA, removexattr(name, "user.text"));
    }
    int fd = must(open("file", O_RDWR));
    must(fsetxattr(fd, "user.kept", "of a file", 9, 0));
    same(fgetxattr(fd, "user.kept", back, sizeof back), 9);
    must(rename("file", "moved"));
    same(getxattr("moved", "user.kept", back, sizeof back), 9);
    must(unlink("moved"));
    same(fgetxattr(fd, "user.kept", back, sizeof back), 9);
    put("kept", "");
    must(setxattr("kept", "user.kept", "of a file", 9, 0));
    must(symlink("kept", "link"));
    refuses(EPERM, lsetxattr("link", "user.a", "x", 1, 0));
    if (is_share) {
        int is_root = geteuid() == 0;
        refuses(is_root ? EOPNOTSUPP : EPERM, setxattr("kept", "trusted.a", "x", 1, 0));
        refuses(is_root ? EOPNOTSUPP : ENODATA, getxattr("kept", "trusted.a", back, sizeof back));
        refuses(EOPNOTSUPP, setxattr("kept", "security.a", "x", 1, 0));
        refuses(EOPNOTSUPP, getxattr("kept", "security.a", back, sizeof back));
        refuses(EOPNOTSUPP, setxattr("kept", "system.posix_acl_access", "x", 1, 0));
        refuses(EOPNOTSUPP, setxattr("kept", "unknown.a", "x", 1, 0));
    }
}

static void space(void) {
    struct statvfs found;
    must(statvfs(".", &found));
    is(found.f_bsize >= 512 && found.f_frsize >= 512 && found.f_blocks > 0 && found.f_bfree > 0);
    is(found.f_bavail <= found.f_blocks);
    same(found.f_namemax, 255);
    int fd = must(open("file", O_RDWR | O_CREAT, 0644));
    same(write(fd, "text", 4), 4);
    must(fstatvfs(fd, &found));
    same(found.f_namemax, 255);
    struct statx facts;
    must(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &facts));
    same(facts.stx_size, 4);
    is((facts.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
}

const struct check facts_checks[] = {
    {"times_to_the_nanosecond", times_to_the_nanosecond},
    {"times_of_changes", times_of_changes},
    {"modes_and_umask", modes_and_umask},
    {"owners", owners},
    {"rights", rights},
    {"rights_of_a_sticky_folder", rights_of_a_sticky_folder},
    {"extended_attributes", extended_attributes},
    {"space", space},
    {NULL, NULL},
};
