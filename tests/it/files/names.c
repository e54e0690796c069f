/* Names: renaming, unlinking, linking, and what may be a name. */

#define _GNU_SOURCE
#include "frame.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

static void rename_over(void) {
    put("old", "old");
    put("new", "new");
    ino_t moved = facts("new").st_ino;
    int kept = must(open("old", O_RDWR));
    must(rename("new", "old"));
    refuses(ENOENT, access("new", F_OK));
    same(facts("old").st_ino, moved);
    is(!strcmp(get("old"), "new"));
    char text[8] = "";
    same(pread(kept, text, 7, 0), 3);
    is(!strcmp(text, "old"));
    same(write(kept, "more!", 5), 5);
    struct stat gone;
    must(fstat(kept, &gone));
    same(gone.st_nlink, 0);
    same(gone.st_size, 5);
    is(!strcmp(get("old"), "new"));
}

static void rename_exchange(void) {
    put("a", "a");
    must(mkdir("b", 0755));
    put("b/in", "in");
    must(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    is(!strcmp(get("a/in"), "in") && !strcmp(get("b"), "a"));
    put("a/in", "after");
    is(!strcmp(get("a/in"), "after"));
    refuses(ENOENT, renameat2(AT_FDCWD, "a", AT_FDCWD, "absent", RENAME_EXCHANGE));
}

static void rename_noreplace(void) {
    put("a", "a");
    put("b", "b");
    refuses(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    must(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    is(!strcmp(get("b"), "b") && !strcmp(get("c"), "a"));
}

static void rename_folders(void) {
    must(mkdir("from", 0755));
    must(mkdir("from/moved", 0755));
    put("from/moved/file", "file");
    must(mkdir("to", 0755));
    must(mkdir("to/empty", 0755));
    must(mkdir("to/full", 0755));
    put("to/full/file", "");
    int open_file = must(open("from/moved/file", O_RDWR));
    int open_folder = must(open("from/moved", O_RDONLY | O_DIRECTORY));
    refuses(ENOTEMPTY, rename("from/moved", "to/full"));
    refuses(EINVAL, rename("from", "from/moved/below"));
    refuses(ENOTDIR, rename("from/moved", "to/full/file"));
    refuses(EISDIR, rename("to/full/file", "to/empty"));
    nlink_t before = facts("to").st_nlink;
    must(rename("from/moved", "to/empty"));
    same(facts("to").st_nlink, before);
    is(!strcmp(get("to/empty/file"), "file"));
    same(write(open_file, "FILE", 4), 4);
    is(!strcmp(get("to/empty/file"), "FILE"));
    must(openat(open_folder, "beside", O_WRONLY | O_CREAT, 0644));
    must(access("to/empty/beside", F_OK));
    refuses(ENOENT, access("from/moved", F_OK));
}

static void rename_of_one_file_to_itself(void) {
    put("a", "a");
    must(link("a", "b"));
    must(rename("a", "b"));
    must(rename("a", "a"));
    same(facts("a").st_nlink, 2);
    is(!strcmp(get("b"), "a"));
}

static void unlinked_file_stays_open(void) {
    put("file", "0123456789");
    int fd = must(open("file", O_RDWR)), other = must(open("file", O_RDONLY));
    must(unlink("file"));
    refuses(ENOENT, access("file", F_OK));
    struct stat found;
    must(fstat(fd, &found));
    same(found.st_nlink, 0);
    same(found.st_size, 10);
    same(pwrite(fd, "abc", 3, 8), 3);
    char text[16] = "";
    same(pread(other, text, 15, 0), 11);
    is(!strcmp(text, "01234567abc"));
    must(ftruncate(fd, 4));
    must(fchmod(fd, 0600));
    struct timespec times[2] = {{5, 6}, {7, 8}};
    must(futimens(fd, times));
    must(fsync(fd));
    must(fstat(other, &found));
    same(found.st_size, 4);
    same(found.st_mode & 0777, 0600);
    same(found.st_mtim.tv_sec, 7);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int again = must(open(path, O_RDWR));
    same(pread(again, text, 15, 0), 4);
    put("file", "another");
    same(pread(other, text, 15, 0), 4);
    must(stat(path, &found));
    same(found.st_size, 4);
}

static void unlinked_file_with_another_name(void) {
    put("a", "text");
    must(link("a", "b"));
    int fd = must(open("a", O_RDWR));
    must(unlink("a"));
    struct stat found;
    must(fstat(fd, &found));
    same(found.st_nlink, 1);
    same(pwrite(fd, "TEXT", 4, 0), 4);
    is(!strcmp(get("b"), "TEXT"));
    must(unlink("b"));
    must(fstat(fd, &found));
    same(found.st_nlink, 0);
    char text[8];
    same(pread(fd, text, 8, 0), 4);
}

static void removed_folder_stays_open(void) {
    must(mkdir("folder", 0755));
    int fd = must(open("folder", O_RDONLY | O_DIRECTORY));
    must(chdir("folder"));
    must(rmdir("../folder"));
    refuses(ENOENT, open("new", O_WRONLY | O_CREAT, 0644));
    refuses(ENOENT, mkdirat(fd, "new", 0755));
    char path[PATH_MAX];
    is(getcwd(path, sizeof path) == NULL && errno == ENOENT);
    struct stat found;
    must(fstat(fd, &found));
    DIR *entries = fdopendir(fd);
    is(entries);
    errno = 0;
    while (readdir(entries)) {}
    is(errno == 0 || errno == ENOENT);
}

/* Without a name from the start; kernels before 6.2 cannot ask a share for that. */
static void file_that_never_had_a_name(void) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    if (fd < 0 && errno == EOPNOTSUPP) fail("no O_TMPFILE");
    must(fd);
    same(write(fd, "text", 4), 4);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    must(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    is(!strcmp(get("named"), "text"));
    same(facts("named").st_mode & 07777, 0640);
    int never = must(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
    sprintf(path, "/proc/self/fd/%d", never);
    refuses(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
}

static void hard_links(void) {
    put("a", "text");
    must(link("a", "b"));
    must(mkdir("folder", 0755));
    must(link("a", "folder/c"));
    same(facts("a").st_nlink, 3);
    same(facts("a").st_ino, facts("folder/c").st_ino);
    put("b", "changed");
    is(!strcmp(get("a"), "changed") && !strcmp(get("folder/c"), "changed"));
    must(chmod("folder/c", 0600));
    same(facts("a").st_mode & 0777, 0600);
    must(unlink("a"));
    same(facts("b").st_nlink, 2);
    refuses(EEXIST, link("b", "folder/c"));
    refuses(EPERM, link("folder", "second"));
    must(symlink("absent", "symlink"));
    must(link("symlink", "symlink-too"));
    is(S_ISLNK(facts("symlink-too").st_mode));
    same(facts("symlink").st_nlink, 2);
    refuses(EXDEV, link("b", "/dev/b"));
    refuses(EXDEV, rename("b", "/dev/b"));
    must(mkfifo("fifo", 0600));
    must(link("fifo", "fifo-too"));
    same(facts("fifo").st_nlink, 2);
}

static void symlinks(void) {
    char target[PATH_MAX + 1], read_back[PATH_MAX + 1];
    memset(target, 'x', PATH_MAX);
    for (int slash = 100; slash < PATH_MAX; slash += 100) target[slash] = '/';
    target[PATH_MAX - 1] = 0;
    must(symlink(target, "long"));
    same(readlink("long", read_back, sizeof read_back), PATH_MAX - 1);
    is(!memcmp(target, read_back, PATH_MAX - 1));
    same(facts("long").st_size, PATH_MAX - 1);
    same(readlink("long", read_back, 10), 10);
    target[PATH_MAX - 1] = 'x';
    refuses(ENAMETOOLONG, symlink(target, "longer"));
    refuses(ENOENT, symlink("", "empty"));
    must(mkdir("folder", 0755));
    put("file", "beside");
    must(symlink("../file", "folder/relative"));
    is(!strcmp(get("folder/relative"), "beside"));
    must(symlink("/proc/sys/kernel/ostype", "absolute"));
    is(!strcmp(get("absolute"), "Linux\n"));
    must(symlink("absent", "dangling"));
    refuses(ENOENT, open("dangling", O_RDONLY));
    refuses(EEXIST, open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
    put("dangling", "through the link");
    is(!strcmp(get("absent"), "through the link"));
    must(symlink("loop", "loop"));
    refuses(ELOOP, open("loop", O_RDONLY));
    refuses(ELOOP, open("loop/below", O_RDONLY));
    refuses(ELOOP, open("dangling", O_RDONLY | O_NOFOLLOW));
    must(open("dangling", O_PATH | O_NOFOLLOW));
    refuses(EINVAL, readlink("file", read_back, 10));
    refuses(ENOTDIR, open("dangling/below", O_RDONLY));
    same(facts("dangling").st_mode & 0777, 0777);
    must(unlink("dangling"));
    must(access("absent", F_OK));
}

static int is_listed(const char *name) {
    DIR *entries = opendir(".");
    is(entries);
    int found = 0;
    for (struct dirent *entry; (entry = readdir(entries));) found += !strcmp(entry->d_name, name);
    closedir(entries);
    return found;
}

static void names_of_all_bytes(void) {
    char longest[257];
    memset(longest, 'n', 256);
    longest[256] = 0;
    refuses(ENAMETOOLONG, open(longest, O_WRONLY | O_CREAT, 0644));
    refuses(ENAMETOOLONG, mkdir(longest, 0755));
    refuses(ENAMETOOLONG, access(longest, F_OK));
    longest[255] = 0;
    const char *const names[] = {longest, "\xff\xfe\x80", "new\nline", " ", "..\xc0\xaf", "-r", "\x01\x7f", "*?[\\'\"$`"};
    for (size_t each = 0; each < sizeof names / sizeof *names; each++) {
        put(names[each], names[each]);
        is(!strcmp(get(names[each]), names[each]));
        same(is_listed(names[each]), 1);
        must(rename(names[each], "moved"));
        must(rename("moved", names[each]));
    }
    must(unlink(longest));
    same(is_listed(longest), 0);
    char path[PATH_MAX + 2];
    for (int each = 0; each < PATH_MAX; each++) path[each] = each % 2 ? '/' : '.';
    path[PATH_MAX - 1] = 0;
    must(access(path, F_OK));
    path[PATH_MAX - 1] = '/';
    path[PATH_MAX] = 0;
    refuses(ENAMETOOLONG, access(path, F_OK));
}

static void errors_of_names(void) {
    put("file", "");
    must(mkdir("folder", 0755));
    put("folder/in", "");
    refuses(ENOENT, open("absent", O_RDONLY));
    refuses(ENOENT, open("absent/below", O_WRONLY | O_CREAT, 0644));
    refuses(ENOENT, unlink("absent"));
    refuses(ENOENT, rename("absent", "x"));
    refuses(ENOTDIR, open("file/below", O_RDONLY));
    refuses(ENOTDIR, rmdir("file"));
    refuses(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
    refuses(ENOTDIR, mkdir("file/below", 0755));
    refuses(EISDIR, open("folder", O_WRONLY));
    refuses(EISDIR, open("folder", O_RDONLY | O_CREAT, 0644));
    refuses(EISDIR, unlink("folder"));
    refuses(ENOTEMPTY, rmdir("folder"));
    refuses(EEXIST, mkdir("folder", 0755));
    refuses(EEXIST, mkdir("file", 0755));
    refuses(EEXIST, open("file", O_WRONLY | O_CREAT | O_EXCL, 0644));
    refuses(EEXIST, symlink("x", "file"));
    refuses(EEXIST, mkfifo("file", 0644));
    refuses(EINVAL, rmdir("folder/."));
    refuses(ENOTEMPTY, rmdir("folder/.."));
    refuses(EFAULT, open((const char *)8, O_RDONLY));
    must(unlink("folder/in"));
    must(rmdir("folder"));
    refuses(ENOENT, chdir("folder"));
}

static void deep_folders(void) {
    for (int depth = 0; depth < 150; depth++) {
        must(mkdir("a-folder-with-a-name", 0755));
        must(chdir("a-folder-with-a-name"));
    }
    put("deepest", "deepest");
    is(!strcmp(get("deepest"), "deepest"));
    for (int depth = 0; depth < 150; depth++) must(chdir(".."));
    must(access("a-folder-with-a-name", F_OK));
    must(rename("a-folder-with-a-name", "moved"));
    must(access("moved/a-folder-with-a-name/a-folder-with-a-name", F_OK));
}

const struct check names_checks[] = {
    {"rename_over", rename_over},
    {"rename_exchange", rename_exchange},
    {"rename_noreplace", rename_noreplace},
    {"rename_folders", rename_folders},
    {"rename_of_one_file_to_itself", rename_of_one_file_to_itself},
    {"unlinked_file_stays_open", unlinked_file_stays_open},
    {"unlinked_file_with_another_name", unlinked_file_with_another_name},
    {"removed_folder_stays_open", removed_folder_stays_open},
    {"file_that_never_had_a_name", file_that_never_had_a_name},
    {"hard_links", hard_links},
    {"symlinks", symlinks},
    {"names_of_all_bytes", names_of_all_bytes},
    {"errors_of_names", errors_of_names},
    {"deep_folders", deep_folders},
    {NULL, NULL},
};
