#include "page.h"

#include <stdio.h>
#include <string.h>

#include "watch.h"

#define SLOT_PLACES 128 /* words of a quarter of a base page */

size_t page_slot_offset(const struct region *region, size_t page, unsigned int slot)
{
	return slot * (region->page_bytes / SLOTS) + (page * 37 + slot * 11) % SLOT_PLACES * 8;
}

uint64_t page_source_word(const struct region *region, size_t page, size_t offset)
{
	return region->source ? region->source[(page * region->page_bytes + offset) / 8] : 0;
}

uint64_t page_slot_word(const struct region *region, size_t page, const struct page *state,
			unsigned int slot)
{
	if (state->slot[slot] != 0)
		return state->slot[slot];
	return state->zero ? 0
			   : page_source_word(region, page, page_slot_offset(region, page, slot));
}

/* The slot whose word lies at an offset of the page, or SLOTS. */
static unsigned int slot_at(const struct region *region, size_t page, size_t offset)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (page_slot_offset(region, page, slot) == offset)
			return slot;
	return SLOTS;
}

bool page_is_below(const struct region *region, size_t page, bool zero, size_t offset,
		   const uint64_t *words)
{
	for (size_t word = 0; word < PAGE_WORDS; word++) {
		size_t at = offset + word * 8;

		if (words[word] != (zero ? 0 : page_source_word(region, page, at)) &&
		    slot_at(region, page, at) == SLOTS)
			return false;
	}
	return true;
}

/* A guess at what the wrong page is, for people. */
static const char *looks_like(const struct region *region, size_t page, size_t offset,
			      const uint64_t *words)
{
	bool zero = page_is_below(region, page, true, offset, words);
	bool source = page_is_below(region, page, false, offset, words);

	return zero && source ? "zeros, which its source is too"
	       : zero	      ? "zeros"
	       : source	      ? "its source"
			      : "something else";
}

static _Noreturn void wrong(const struct region *region, size_t page, size_t at, size_t offset,
			    const uint64_t *words, uint64_t wanted)
{
	static const char *const kinds[] = {"anonymous", "private", "shared", "huge"};
	const struct page *state = &region->page[page];
	char slots[160];
	size_t length = 0;

	for (unsigned int slot = 0; slot < SLOTS; slot++)
		length += (size_t)snprintf(slots + length, sizeof(slots) - length, " %lx",
					   state->slot[slot]);
	watch_fail("wrong contents: region %u (%s, %s) page %zu at %p + 0x%zx is 0x%lx, must be "
		   "0x%lx (%s with slots%s); it looks like %s",
		   region->number, kinds[region->shape.kind],
		   region->shape.name ? region->shape.name : "file or zeros", page,
		   (void *)state->at, at, words[(at - offset) / 8], wanted,
		   state->zero ? "zeros" : "source", slots,
		   looks_like(region, page, offset, words));
}

static void check_part(const struct region *region, size_t page, size_t offset)
{
	const struct page *state = &region->page[page];
	uint64_t words[PAGE_WORDS];

	watch_begin("reads a page");
	memcpy(words, state->at + offset, sizeof(words));
	watch_end();
	if (!page_is_below(region, page, state->zero, offset, words)) {
		size_t word = 0;
		uint64_t wanted;

		do
			wanted =
				state->zero ? 0 : page_source_word(region, page, offset + word * 8);
		while (words[word++] == wanted ||
		       slot_at(region, page, offset + word * 8 - 8) < SLOTS);
		wrong(region, page, offset + (word - 1) * 8, offset, words, wanted);
	}
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		size_t at = page_slot_offset(region, page, slot);
		uint64_t wanted = page_slot_word(region, page, state, slot);

		if (at >= offset && at < offset + BASE_PAGE && words[(at - offset) / 8] != wanted)
			wrong(region, page, at, offset, words, wanted);
	}
	watch->reads++;
}

void page_check(const struct region *region, size_t page, bool all, uint64_t random)
{
	if (all || region->page_bytes == BASE_PAGE) {
		for (size_t offset = 0; offset < region->page_bytes; offset += BASE_PAGE)
			check_part(region, page, offset);
		return;
	}
	check_part(region, page, random % (region->page_bytes / BASE_PAGE) * BASE_PAGE);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		check_part(region, page, page_slot_offset(region, page, slot) & ~(BASE_PAGE - 1));
}
