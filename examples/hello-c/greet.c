#include "greet.h"

#include <stdio.h>

int greet(const char *name, char *out, size_t size)
{
    if (name[0] == '\0') {
        name = "world";
    }
    int length = snprintf(out, size, "hello, %s", name);
    if (length < 0 || (size_t)length >= size) {
        return -1;
    }
    return length;
}
