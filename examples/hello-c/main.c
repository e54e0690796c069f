#include "greet.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    char text[64];
    if (greet(argc > 1 ? argv[1] : "", text, sizeof text) < 0) {
        fputs("hello: the name is too long\n", stderr);
        return 1;
    }
    puts(text);
    return 0;
}
