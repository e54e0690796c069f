#ifndef GREET_H
#define GREET_H

#include <stddef.h>

/* Writes a greeting for `name` (or for the world, where it is empty) into `out`; returns its length, or -1 where it does not fit. */
int greet(const char *name, char *out, size_t size);

#endif
