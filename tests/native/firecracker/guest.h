/*
 * guest.h - a guest's memory together with what each of its pages must hold: the snapshot's
 * contents, zeros since it was given up, or what was written last.
 */
#ifndef FIRECRACKER_GUEST_H
#define FIRECRACKER_GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory.h"

struct guest {
	struct memory memory;
	uint64_t pages;
	const uint8_t *image;	  /* what the snapshot holds; NULL: ../bench/image.h */
	_Atomic uint32_t *states; /* of each page; guest.c has the meaning of the bits */
	uint64_t hotplug_start;	  /* first page of the hot-plug region; = pages if there is none */
	uint64_t slot_pages;
	pthread_rwlock_t slot_locks[HOTPLUG_SLOTS]; /* shared: its pages are in use */
	bool plugged[HOTPLUG_SLOTS];
	_Atomic uint64_t reads;
	_Atomic uint64_t raced; /* reads that were not judged: the page always changed meanwhile */
	_Atomic uint64_t writes;
	_Atomic uint64_t removals; /* pages that were given up */
	_Atomic uint64_t plugs;
};

/*
 * Maps memory and the file that says what it must hold. With `pattern` that is known without
 * reading the file, which would bring it into the page cache. Ends the process with EXIT_SETUP if
 * it cannot be done.
 */
void guest_create(struct guest *guest, const struct memory_options *options, const char *image,
		  bool pattern);

/*
 * Reads a page and judges every byte, or with `quick` its first word only, against what it may
 * hold; the process ends with EXIT_WRONG at the first that is wrong. Returns how long the first
 * access took, in ns. A page of an unplugged slot is left alone.
 */
uint64_t guest_read(struct guest *guest, uint64_t page, bool quick);

/* Fills a page with contents of its own, unless another thread is changing it. */
void guest_write(struct guest *guest, uint64_t page);

/* Gives up pages from `page` on, at most `count` and as many as nobody else is changing; what is
 * read there from now on is zeros. */
void guest_give_up(struct guest *guest, uint64_t page, uint64_t count);

/* Unplugs a slot of the hot-plug region that is plugged: gives it up, then nobody may touch it;
 * plugs it otherwise. */
void guest_toggle_slot(struct guest *guest, unsigned int slot);

/* Bytes of unplugged slots that memory was spent on; there must be none. */
uint64_t guest_wasted(struct guest *guest);

#endif
