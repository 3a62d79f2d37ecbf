#include "work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "page.h"
#include "record.h"
#include "track.h"
#include "watch.h"

#define STAMP 0xa5ull /* the top byte of what is written */

struct worker worker[MAX_WORKERS];

static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t order_followed = PTHREAD_COND_INITIALIZER;
static pthread_cond_t order_given = PTHREAD_COND_INITIALIZER;
static struct order orders = {.may = MAY_ALL};
static _Atomic uint64_t order_number;
static bool paused;
static atomic_bool stopping;
static unsigned int pace_us;

void work_note(struct worker *own, const char *what, const struct region *region, size_t first,
	       size_t count)
{
	own->last[own->remembered++ % REMEMBERED] = (struct operation){
		.what = what,
		.region = region->number,
		.first = first,
		.count = count,
		.event = record[own->number].sequence,
		.at = watch_now(),
	};
}

void work_report(void)
{
	char line[160];

	for (unsigned int i = 0; i < model.workers; i++) {
		const struct worker *one = &worker[i];
		uint64_t from = one->remembered < REMEMBERED ? 0 : one->remembered - REMEMBERED;

		for (uint64_t n = from; n < one->remembered; n++) {
			const struct operation *last = &one->last[n % REMEMBERED];
			int length = snprintf(line, sizeof(line),
					      "worker %u at=%ld %s region %u pages %zu+%zu, event "
					      "%lu\n",
					      i, last->at, last->what, last->region, last->first,
					      last->count, last->event);

			if (write(STDOUT_FILENO, line, (size_t)length) < 0)
				return;
		}
	}
}

void work_write(struct worker *own, struct region *region, size_t page)
{
	struct page *state = &region->page[page];
	unsigned int slot = (unsigned int)(next_random(&own->random) % SLOTS);
	struct event event = {
		.kind = EVENT_WRITE,
		.slot = (uint8_t)slot,
		.region = (uint16_t)region->number,
		.first = (uint32_t)page,
		.count = 1,
		.value = STAMP << 56 | (uint64_t)own->number << 48 |
			 (record[own->number].sequence + 1),
	};
	volatile uint64_t *word =
		(volatile uint64_t *)(state->at + page_slot_offset(region, page, slot));

	work_note(own, "writes", region, page, 1);
	record_begin(own->number, event);
	record_apply(&event, region, page, state);
	watch_begin("writes to a page");
	*word = event.value;
	watch_end();
	record_end(own->number);
	track_change(state);
	watch->writes++;
}

void work_remove(struct worker *own, struct region *region, size_t first, size_t count)
{
	struct event event = {.kind = EVENT_REMOVE, .region = (uint16_t)region->number, .count = 1};

	work_note(own, "gives up", region, first, count);
	/* One event for each: the kernel takes them one after the other. */
	for (size_t page = first; page < first + count; page++) {
		event.first = (uint32_t)page;
		record_begin(own->number, event);
		record_apply(&event, region, page, &region->page[page]);
	}
	watch_begin("gives pages up");
	int failed = madvise(region->page[first].at, count * region->page_bytes, MADV_DONTNEED);

	watch_end();
	if (failed)
		watch_fail("madvise of region %u pages %zu+%zu: %s", region->number, first, count,
			   strerror(errno));
	record_end(own->number);
	/* What was written to an object is still in it: a list may name it, and need not. */
	for (size_t page = first; page < first + count; page++)
		if (region->shape.kind != KIND_SHARED)
			track_change(&region->page[page]);
		else
			track_touch(&region->page[page]);
	watch->removals++;
}

/* Pages of the region, which all belong to the worker, from `first` on. */
static size_t some_pages(struct worker *own, const struct region *region, size_t first)
{
	size_t most = region->shape.pages < 8 ? 1 : region->shape.pages / 8;
	size_t count = 1 + next_random(&own->random) % most;

	if (region->shape.owner == EVERYBODY)
		return 1;
	return first + count > region->shape.pages ? region->shape.pages - first : count;
}

static void read_only_for_a_while(struct worker *own, struct region *region, size_t first,
				  size_t count)
{
	size_t bytes = count * region->page_bytes;
	int way = next_random(&own->random) % 2 ? PROT_READ : PROT_NONE;

	work_note(own, "protects by mprotect", region, first, count);
	region->page[first].cut = true;
	if (first + count < region->shape.pages)
		region->page[first + count].cut = true;
	watch_begin("protects pages by mprotect");
	int failed = mprotect(region->page[first].at, bytes, way);

	watch_end();
	if (!failed && way == PROT_READ)
		page_check(region, first, false, next_random(&own->random));
	if (failed || mprotect(region->page[first].at, bytes, PROT_READ | PROT_WRITE))
		watch_fail("mprotect of region %u: %s", region->number, strerror(errno));
}

static void ask_manager(struct worker *own, struct region *region, size_t first, size_t count)
{
	uint64_t start = (uint64_t)(uintptr_t)region->page[first].at;
	uint64_t bytes = count * region->page_bytes;

	if (next_random(&own->random) % 2 == 0) {
		work_note(own, "prefetches", region, first, count);
		watch_begin("prefetches");
		link_prefetch(&model.link, start, bytes);
		watch_end();
	} else if (region->shape.protect) {
		work_note(own, "protects", region, first, count);
		watch_begin("protects pages");
		link_protect(&model.link, start, bytes);
		watch_end();
	} else {
		watch_begin("asks for the status");
		link_status(&model.link);
		watch_end();
	}
}

/* A page of the worker's. */
static size_t pick_page(struct worker *own, const struct region *region)
{
	size_t page = next_random(&own->random) % region->shape.pages;

	if (region->shape.owner != EVERYBODY)
		return page;
	page = page / model.workers * model.workers + own->number;
	return page < region->shape.pages ? page : own->number;
}

static struct region *pick_region(struct worker *own)
{
	struct region *region;

	do
		region = &model.region[next_random(&own->random) % model.regions];
	while (region->shape.owner != EVERYBODY && region->shape.owner != own->number);
	return region;
}

static void act(struct worker *own, unsigned int may)
{
	struct region *region = pick_region(own);
	size_t page = pick_page(own, region);
	size_t count = some_pages(own, region, page);
	uint64_t choice = next_random(&own->random) % 1000;
	bool room = record_has_room(own->number, 2 * (unsigned int)region->shape.pages + 8);

	if (choice < 300 && room) {
		work_write(own, region, page);
	} else if (choice < 360 && room && (may & MAY_REMOVE)) {
		work_remove(own, region, page, count);
	} else if (choice < 375 && region->shape.kind != KIND_HUGE &&
		   region->shape.owner != EVERYBODY) {
		read_only_for_a_while(own, region, page, count);
	} else if (choice < 380) {
		ask_manager(own, region, page, count);
	} else if (choice < 400 && room && (may & MAY_MOVE) && region->shape.owner != EVERYBODY) {
		move_something(own, region);
	} else if (choice < 402 && (may & MAY_MOVE) && model.mailbox) {
		child_run(own);
	} else {
		work_note(own, "reads", region, page, 1);
		page_check(region, page, false, next_random(&own->random));
	}
}

/* Does what was ordered since the last time; what the worker may do from now on. */
static unsigned int follow(struct worker *own)
{
	struct record *mine = &record[own->number];

	pthread_mutex_lock(&order_lock);
	/* A pause may come right after another one. */
	do {
		if (orders.record && !mine->open)
			record_open(own->number);
		mine->open = orders.record;
		atomic_store(&own->seen, atomic_load(&order_number));
		pthread_cond_broadcast(&order_followed);
		if (paused)
			pthread_cond_wait(&order_given, &order_lock);
	} while (paused || atomic_load(&own->seen) != atomic_load(&order_number));
	unsigned int may = orders.may;

	pthread_mutex_unlock(&order_lock);
	return may;
}

static void *work(void *argument)
{
	struct worker *own = argument;
	unsigned int may = MAY_ALL;

	watch_number = own->number + 1;
	while (!atomic_load(&stopping)) {
		if (atomic_load(&order_number) != atomic_load(&own->seen))
			may = follow(own);
		act(own, may);
		own->operations++;
		watch->operations++;
		if (pace_us) /* the load of the machine, not an order of events */
			nanosleep(&(struct timespec){.tv_nsec = pace_us * 1000l}, NULL);
	}
	return NULL;
}

void work_start(unsigned int pace)
{
	pace_us = pace;
	for (unsigned int i = 0; i < model.workers; i++) {
		worker[i].number = i;
		worker[i].random = (model.seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			watch_fail("no thread");
	}
}

static struct timespec deadline_in(unsigned int seconds)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += seconds;
	return deadline;
}

static void await_all(unsigned int patience)
{
	struct timespec deadline = deadline_in(patience);

	for (unsigned int i = 0; i < model.workers; i++) {
		while (atomic_load(&worker[i].seen) != atomic_load(&order_number))
			if (pthread_cond_timedwait(&order_followed, &order_lock, &deadline))
				watch_fail("worker %u has not come to an end of what it does for "
					   "%u s: it %s (its child %s)",
					   i, patience, watch->slots[i + 1].what,
					   watch->slots[MAX_THREADS + i + 1].what);
	}
}

void work_order(const struct order *order, unsigned int patience)
{
	pthread_mutex_lock(&order_lock);
	orders = *order;
	atomic_fetch_add(&order_number, 1);
	await_all(patience);
	pthread_mutex_unlock(&order_lock);
}

void work_pause(unsigned int patience)
{
	pthread_mutex_lock(&order_lock);
	paused = true;
	atomic_fetch_add(&order_number, 1);
	/* Who waits in the pause before has to say that it is in this one too. */
	pthread_cond_broadcast(&order_given);
	await_all(patience);
	pthread_mutex_unlock(&order_lock);
}

void work_resume(void)
{
	pthread_mutex_lock(&order_lock);
	paused = false;
	pthread_cond_broadcast(&order_given);
	pthread_mutex_unlock(&order_lock);
}

void work_stop(unsigned int patience)
{
	struct timespec deadline = deadline_in(patience);

	atomic_store(&stopping, true);
	work_resume();
	/* A thread that hangs must not keep this one from saying so. */
	for (unsigned int i = 0; i < model.workers; i++)
		if (pthread_timedjoin_np(worker[i].thread, NULL, &deadline))
			watch_fail("worker %u hangs: it %s", i, watch->slots[i + 1].what);
}
