/*
 * image.h - the page contents that every benchmark checks: each 64-bit word is a function of its
 * place, so that a page from the wrong offset is as visible as a page of zeros.
 */
#ifndef BENCH_IMAGE_H
#define BENCH_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_PAGE 4096ul

/* The word at byte offset `offset` (a multiple of 8) of the image; never 0. */
static inline uint64_t image_word(uint64_t offset)
{
	return (offset / 8 + 1) * 0x9e3779b97f4a7c15ull;
}

/* Writes an image of `length` bytes to `path`; returns 0 or an errno. */
int image_create(const char *path, uint64_t length);

/* The same as a memfd that is sealed against every change; returns 0 or an errno. */
int image_create_memfd(uint64_t length, int *memfd);

/*
 * Compares `length` bytes of memory with the image from `offset` on, or with zeros. Returns the
 * number of pages that differ.
 */
uint64_t image_count_wrong_pages(const void *memory, uint64_t offset, uint64_t length, bool zero);

#endif
