/* Writes blocks one after the other, each synced, and prints how many a second. As the first process of a machine it first
 * loads the modules of its initial file system and mounts the first disk, and powers off at the end. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words) {
    int is_init = getpid() == 1;
    if (is_init) {
        mount("devtmpfs", "/dev", "devtmpfs", 0, "");
        load();
        mkdir("/disk", 0755);
        for (int turn = 0; turn < 500 && access("/dev/vda", F_OK) != 0; turn++) usleep(10000);
        if (mount("/dev/vda", "/disk", "ext4", 0, "discard,noinit_itable") != 0) perror("mount");
        int console = open("/dev/console", O_WRONLY);
        dup2(console, 1);
    }
    const char *path = is_init ? "/disk/bench" : words[1];
    int blocks = is_init || count < 3 ? 1000 : atoi(words[2]);
    static char block[4096];
    memset(block, 7, sizeof block);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    double start = now();
    for (int place = 0; place < blocks; place++)
        if (write(file, block, sizeof block) != sizeof block || fsync(file) != 0) {
            perror("write");
            break;
        }
    printf("rate %.1f\n", blocks / (now() - start));
    fflush(stdout);
    if (is_init) {
        close(file);
        umount("/disk");
        reboot(RB_POWER_OFF);
    }
    return 0;
}
