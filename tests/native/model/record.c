#include "record.h"

#include <string.h>
#include <sys/mman.h>

#include "watch.h"

#define CAPACITY (1u << 17)

struct record record[MAX_WORKERS];

void record_create(void)
{
	for (unsigned int worker = 0; worker < model.workers; worker++) {
		record[worker].event =
			mmap(NULL, CAPACITY * sizeof(struct event), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (record[worker].event == MAP_FAILED)
			watch_fail("no memory for the record");
	}
}

void record_open(unsigned int worker)
{
	for (unsigned int i = 0; i < model.regions; i++) {
		struct region *region = &model.region[i];

		for (size_t page = 0; page < region->shape.pages; page++)
			if (owner_of(region, page) == worker)
				memcpy(&region->before[page], &region->page[page],
				       sizeof(struct page));
	}
	record[worker].base = record[worker].sequence;
	record[worker].count = 0;
	record[worker].open = true;
}

bool record_has_room(unsigned int worker, unsigned int events)
{
	const struct record *own = &record[worker];

	return !own->open || own->count + events <= CAPACITY;
}

uint64_t record_begin(unsigned int worker, struct event event)
{
	struct record *own = &record[worker];

	own->sequence++;
	if (own->open) {
		for (unsigned int other = 0; other < model.workers; other++)
			event.seen[other] =
				atomic_load_explicit(&record[other].done, memory_order_acquire);
		own->event[own->count++] = event;
	}
	return own->sequence;
}

void record_end(unsigned int worker)
{
	atomic_store_explicit(&record[worker].done, record[worker].sequence, memory_order_release);
}

static void reset(const struct region *region, struct page *state, bool zero)
{
	/* What was written to an object stays there. */
	if (region->shape.kind == KIND_SHARED)
		return;
	state->zero = zero;
	memset(state->slot, 0, sizeof(state->slot));
}

void record_apply(const struct event *event, const struct region *region, size_t page,
		  struct page *state)
{
	switch (event->kind) {
	case EVENT_WRITE:
		state->slot[event->slot] = event->value;
		break;
	case EVENT_REMOVE:
		reset(region, state, !region->shape.remove_source);
		break;
	case EVENT_GONE:
		state->at = NULL;
		reset(region, state, region->source == NULL);
		break;
	case EVENT_PLACE:
	case EVENT_MOVE:
		state->at = (unsigned char *)(uintptr_t)event->value +
			    (page - event->first) * region->page_bytes;
		break;
	}
}
