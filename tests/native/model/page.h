/* page.h - looking at what a page contains, and saying what is wrong with it. */
#ifndef MODEL_PAGE_H
#define MODEL_PAGE_H

#include "model.h"

/* Offset of a slot in the page, in bytes. */
size_t page_slot_offset(const struct region *region, size_t page, unsigned int slot);

/* The word that the source has there. */
uint64_t page_source_word(const struct region *region, size_t page, size_t offset);

/* The word that a slot must contain. */
uint64_t page_slot_word(const struct region *region, size_t page, const struct page *state,
			unsigned int slot);

/* True if the 4 KiB at `words`, which lie at `offset` in the page, are zeros (or the source's
 * contents) but for the slots. */
bool page_is_below(const struct region *region, size_t page, bool zero, size_t offset,
		   const uint64_t *words);

/* Reads the page in memory and ends the program if it is not as the model says; of a huge page
 * without `all` only the parts with slots and one other. */
void page_check(const struct region *region, size_t page, bool all, uint64_t random);

#endif
