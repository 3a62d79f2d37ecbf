/* yardstick.h - what the reference handlers do alike, which the manager is measured against. */
#ifndef COMMON_YARDSTICK_H
#define COMMON_YARDSTICK_H

#include <stdint.h>

/* Ends the program with errno's text on stderr. Which program that is, it says with its own name.
 */
_Noreturn void yardstick_die(const char *what);

/* A socket of that type at `path` on which a thousand may wait. */
int yardstick_listen(const char *path, int type);

/* Reports of `fd` carry `data`. */
void yardstick_watch(int epoll_fd, int fd, void *data);

/* All of a file for reading, by mmap(2) with `flags`; `*length` is its size. */
const char *yardstick_map(const char *path, int flags, uint64_t *length);

#endif
