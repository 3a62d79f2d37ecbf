/* image.h - memory files for the guests: every word is a function of its place, with holes. */
#ifndef FIRECRACKER_IMAGE_H
#define FIRECRACKER_IMAGE_H

#include <stdint.h>

#define IMAGE_CHUNK (64ul << 10)

/*
 * Writes a file of `length` bytes in which every `holes`th chunk of 64 KiB is a hole (0 = none),
 * and `tail` more bytes behind it that are one hole. Returns 0 or an errno.
 */
int image_make(const char *path, uint64_t length, uint64_t holes, uint64_t tail);

/*
 * Writes a file's pages back and drops them from the page cache, and tells how many of its bytes
 * are there still, because somebody has them mapped. Returns 0 or an errno.
 */
int image_drop_cache(const char *path, uint64_t *left);

#endif
