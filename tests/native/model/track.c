#include "track.h"

#include <stdio.h>

#include "watch.h"

_Atomic uint8_t track_phase = CHANGE_BEFORE;

static void for_each_page(void (*act)(struct page *state))
{
	for (unsigned int i = 0; i < model.regions; i++)
		for (size_t page = 0; page < model.region[i].shape.pages; page++)
			act(&model.region[i].page[page]);
}

static void forget(struct page *state)
{
	atomic_store(&state->change, 0);
}

void track_reset(void)
{
	for_each_page(forget);
}

void track_listed(uint64_t start, uint64_t length)
{
	bool known = false;

	for (unsigned int i = 0; i < model.regions; i++) {
		const struct region *region = &model.region[i];
		uint64_t base = (uint64_t)(uintptr_t)region->base;

		for (size_t page = 0; page < region->shape.pages; page++) {
			uint64_t at = base + page * region->page_bytes;

			if (at >= start && at < start + length) {
				atomic_fetch_or(&region->page[page].change, CHANGE_LISTED);
				known = true;
			}
		}
	}
	if (!known)
		watch_fail("0x%lx+0x%lx is listed as changed, where no region is", start, length);
}

/* How many pages of each region were changed, listed, and changed without being listed. */
static void tell(void)
{
	for (unsigned int i = 0; i < model.regions; i++) {
		const struct region *region = &model.region[i];
		unsigned int changed = 0, listed = 0, missing = 0;

		for (size_t page = 0; page < region->shape.pages; page++) {
			uint8_t change = atomic_load(&region->page[page].change);
			bool owed = change & (CHANGE_BEFORE | CHANGE_OWED);

			changed += owed;
			listed += (change & CHANGE_LISTED) != 0;
			missing += owed && !(change & CHANGE_LISTED);
		}
		printf("worker lists: of region %u at %p %u pages have changed, %u are listed, %u "
		       "are "
		       "missing\n",
		       i, (void *)region->base, changed, listed, missing);
	}
	fflush(stdout);
}

unsigned int track_compare(unsigned int *named)
{
	unsigned int idle = 0;

	*named = 0;
	for (unsigned int i = 0; i < model.regions; i++) {
		const struct region *region = &model.region[i];

		for (size_t page = 0; page < region->shape.pages; page++) {
			struct page *state = &region->page[page];
			uint8_t change = atomic_load(&state->change);

			if ((change & (CHANGE_BEFORE | CHANGE_OWED)) && !(change & CHANGE_LISTED)) {
				tell();
				watch_fail("region %u page %zu at %p has changed (0x%x) and is not "
					   "listed; kind %u, slots %lx %lx %lx %lx",
					   region->number, page,
					   (void *)(region->base + page * region->page_bytes),
					   change, region->shape.kind, state->slot[0],
					   state->slot[1], state->slot[2], state->slot[3]);
			}
			*named += (change & CHANGE_LISTED) != 0;
			idle += change == CHANGE_LISTED;
			atomic_fetch_and(&state->change,
					 CHANGE_MEANWHILE | CHANGE_LISTED | CHANGE_MAYBE_NEXT);
		}
	}
	return idle;
}

static void carry(struct page *state)
{
	uint8_t change = atomic_load(&state->change);

	if (change & CHANGE_MAYBE_NEXT)
		atomic_fetch_or(&state->change, CHANGE_MAYBE);
	if (change & CHANGE_MEANWHILE)
		atomic_fetch_or(&state->change,
				change & CHANGE_LISTED ? CHANGE_MAYBE : CHANGE_OWED);
	atomic_fetch_and(&state->change,
			 (uint8_t) ~(CHANGE_MEANWHILE | CHANGE_LISTED | CHANGE_MAYBE_NEXT));
}

void track_carry(void)
{
	for_each_page(carry);
}
