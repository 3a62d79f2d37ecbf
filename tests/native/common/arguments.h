/* arguments.h - what the programs do alike with their command lines. */
#ifndef COMMON_ARGUMENTS_H
#define COMMON_ARGUMENTS_H

#include <stdint.h>

enum { EXIT_USAGE = 64 };

/* What usage_error says of the program. Called before everything else here. */
void arguments_begin(const char *program, const char *usage);

/* Says what is wrong and how it is right on stderr, and ends the program with EXIT_USAGE. */
_Noreturn void usage_error(const char *what);

/* The number that `text` is, in any base of strtoull(3); wrong usage if it is none. */
uint64_t parse_number(const char *text);

#endif
