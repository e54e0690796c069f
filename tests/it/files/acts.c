/* Single acts, of which each is a part of a test that has another part on the host. */

#define _GNU_SOURCE
#include "frame.h"

int act(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "forty-three")) return 43;
    if (!strcmp(what, "run-for-long")) {
        if (write(1, "x", 1) == 1) pause();
        return 0;
    }
    return 64;
}
