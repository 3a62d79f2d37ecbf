/* picture.h - what a snapshot says each page contains. */
#ifndef MODEL_PICTURE_H
#define MODEL_PICTURE_H

#include "model.h"

struct picture_page {
	unsigned char *at; /* NULL: not in the snapshot */
	uint64_t slot[SLOTS];
	bool can_be_zero;   /* what is below the slots are zeros */
	bool can_be_source; /* it is the source's contents */
};

struct picture {
	struct picture_page *page[MAX_REGIONS];
};

/* Begins a picture; opens the image and, for a diff, what it is to be laid over (else NULL). */
void picture_open(const char *image, const char *base);

/* A region of the snapshot: where it was, and where it is in the image. */
void picture_add(uint64_t start, uint64_t length, uint64_t offset);

/* The picture, with everything that was added; good until the next one is opened. */
const struct picture *picture_close(void);

/* Whether the page is as the model says. */
bool picture_agrees(const struct picture *picture, const struct region *region, size_t page,
		    const struct page *state);

#endif
