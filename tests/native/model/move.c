/* move.c - pages that are unmapped and mapped anew, or moved. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "record.h"
#include "region.h"
#include "track.h"
#include "watch.h"
#include "work.h"

static void begin_event(struct worker *own, struct region *region, enum event_kind kind,
			size_t first, size_t count, const unsigned char *at)
{
	struct event event = {
		.kind = (uint8_t)kind,
		.region = (uint16_t)region->number,
		.first = (uint32_t)first,
		.count = (uint32_t)count,
		.value = (uint64_t)(uintptr_t)at,
	};

	record_begin(own->number, event);
	for (size_t page = first; page < first + count; page++)
		record_apply(&event, region, page, &region->page[page]);
}

static void unmap(struct worker *own, struct region *region, size_t first, size_t count)
{
	unsigned char *at = region->page[first].at;

	begin_event(own, region, EVENT_GONE, first, count, NULL);
	watch_begin("unmaps");
	int failed = munmap(at, count * region->page_bytes);

	watch_end();
	if (failed)
		watch_fail("munmap of region %u: %s", region->number, strerror(errno));
	record_end(own->number);
}

static void place(struct worker *own, struct region *region, size_t first, size_t count,
		  unsigned char *at)
{
	begin_event(own, region, EVENT_PLACE, first, count, at);
	region_map(region, at, first, count);
	record_end(own->number);
	for (size_t page = first; page < first + count; page++) {
		region->page[page].cut = false;
		track_change(&region->page[page]);
	}
	region->page[first].cut = true;
	if (first + count < region->shape.pages)
		region->page[first + count].cut = true;
}

/* One mremap moves what the kernel has as one mapping, and it does not always join what has been
 * cut. */
static void move(struct worker *own, struct region *region, size_t first, size_t count,
		 unsigned char *to)
{
	size_t next;

	for (size_t page = first; page < first + count; page = next) {
		for (next = page + 1; next < first + count && !region->page[next].cut;)
			next++;
		size_t bytes = (next - page) * region->page_bytes;
		unsigned char *from = region->page[page].at;
		unsigned char *target = to + (page - first) * region->page_bytes;

		begin_event(own, region, EVENT_MOVE, page, next - page, target);
		watch_begin("moves a mapping");
		void *address = mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);

		watch_end();
		if (address != target)
			watch_fail("mremap of region %u pages %zu+%zu from %p to %p: %s",
				   region->number, page, next - page, (void *)from, (void *)target,
				   strerror(errno));
		record_end(own->number);
		/* A list names what has moved, where it is now. */
		for (size_t moved = page; moved < next; moved++)
			track_change(&region->page[moved]);
	}
}

static void settle(struct region *region, unsigned int number)
{
	region->place = number;
	region->base = region_address(number);
}

static void renew(struct worker *own, struct region *region)
{
	unsigned int old = region->place;
	unsigned int number = region_take_place();

	work_note(own, "renews", region, 0, region->shape.pages);
	if (next_random(&own->random) % 3 == 0) {
		watch_begin("unregisters a range");
		link_unregister(&model.link, (uint64_t)(uintptr_t)region->base, bytes_of(region));
		watch_end();
	}
	unmap(own, region, 0, region->shape.pages);
	settle(region, number);
	region_give_place(old);
	place(own, region, 0, region->shape.pages, region->base);
}

static void pick_part(struct worker *own, const struct region *region, size_t *first, size_t *count)
{
	*first = next_random(&own->random) % region->shape.pages;
	*count = 1 + next_random(&own->random) % (region->shape.pages - *first);
}

static void renew_part(struct worker *own, struct region *region)
{
	size_t first, count;

	pick_part(own, region, &first, &count);
	work_note(own, "renews a part of", region, first, count);
	unmap(own, region, first, count);
	place(own, region, first, count, region->base + first * region->page_bytes);
}

static void move_all(struct worker *own, struct region *region)
{
	unsigned int old = region->place;
	unsigned int number = region_take_place();

	work_note(own, "moves", region, 0, region->shape.pages);
	move(own, region, 0, region->shape.pages, region_address(number));
	settle(region, number);
	region_give_place(old);
}

static void move_part(struct worker *own, struct region *region)
{
	size_t first, count;
	unsigned int number = region_take_place();

	pick_part(own, region, &first, &count);
	work_note(own, "moves there and back", region, first, count);
	region->page[first].cut = true;
	if (first + count < region->shape.pages)
		region->page[first + count].cut = true;
	move(own, region, first, count, region_address(number));
	move(own, region, first, count, region->base + first * region->page_bytes);
	region_give_place(number);
}

/* `victim` is unmapped by the move, and gets another place. */
static void move_onto(struct worker *own, struct region *region, struct region *victim)
{
	unsigned int old = region->place;
	unsigned int taken = victim->place;
	unsigned char *rest = victim->base + bytes_of(region);

	work_note(own, "moves", region, 0, region->shape.pages);
	work_note(own, "... onto", victim, 0, victim->shape.pages);
	begin_event(own, victim, EVENT_GONE, 0, victim->shape.pages, NULL);
	move(own, region, 0, region->shape.pages, victim->base);
	if (bytes_of(victim) > bytes_of(region)) {
		watch_begin("unmaps");
		if (munmap(rest, bytes_of(victim) - bytes_of(region)) < 0)
			watch_fail("munmap of region %u: %s", victim->number, strerror(errno));
		watch_end();
	}
	settle(region, taken);
	settle(victim, old);
	place(own, victim, 0, victim->shape.pages, victim->base);
}

void move_something(struct worker *own, struct region *region)
{
	struct region *victim = &model.region[next_random(&own->random) % model.regions];
	uint64_t choice = next_random(&own->random) % 100;
	bool huge = region->shape.kind == KIND_HUGE;

	if (choice < 30 || huge)
		renew_part(own, region);
	else if (choice < 50)
		renew(own, region);
	else if (choice < 75)
		move_all(own, region);
	else if (choice < 90)
		move_part(own, region);
	else if (victim != region && victim->shape.owner == own->number &&
		 victim->shape.kind != KIND_HUGE && !record[own->number].open)
		move_onto(own, region, victim);
	watch->layouts++;
}
