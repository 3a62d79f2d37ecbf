/*
 * track.h - which pages a list of changed pages must name.
 *
 * A list is taken between `track_begin` and `track_end`. What changes before it must be in it; what
 * changes meanwhile must be in it or in the next one.
 */
#ifndef MODEL_TRACK_H
#define MODEL_TRACK_H

#include "model.h"

enum {
	CHANGE_BEFORE = 1,    /* since the last list was taken */
	CHANGE_MEANWHILE = 2, /* while a list was being taken */
	CHANGE_OWED = 4,      /* while the last one was, which did not name it */
	CHANGE_MAYBE = 8,     /* while the last one was, which named it: may come twice */
	CHANGE_LISTED = 16,
	CHANGE_MAYBE_NEXT = 32 /* while a list is being taken: may be in it, or in the next one */
};

/* What changes by the workers count as; set while all of them stand still. */
extern _Atomic uint8_t track_phase;

static inline void track_change(struct page *state)
{
	atomic_fetch_or(&state->change, atomic_load_explicit(&track_phase, memory_order_relaxed));
}

/* Something that may be listed, and need not be. */
static inline void track_touch(struct page *state)
{
	bool before = atomic_load_explicit(&track_phase, memory_order_relaxed) == CHANGE_BEFORE;

	atomic_fetch_or(&state->change, before ? CHANGE_MAYBE : CHANGE_MAYBE_NEXT);
}

/* Forgets everything: what changes from now on must be in the first list. All workers stand still.
 */
void track_reset(void);

/* A run of pages of the list. */
void track_listed(uint64_t start, uint64_t length);

/* After the list: ends the program if a page is missing; the number of pages that were named
 * although nothing changed them. All workers are in the phase CHANGE_MEANWHILE. */
unsigned int track_compare(unsigned int *named);

/* All workers are in the phase CHANGE_BEFORE again. */
void track_carry(void);

#endif
