#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

struct toucher {
	pthread_t thread;
	unsigned int number;
	const struct run *run;
	struct guest *guest;
	struct scan *scan;
};

static void *allocate(uint64_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		report_setup(errno, "calloc");
	return memory;
}

static void shuffle(uint32_t *values, uint64_t count, uint64_t *random)
{
	for (uint64_t i = count; i > 1; i--) {
		uint64_t j = next_random(random) % i;
		uint32_t value = values[i - 1];

		values[i - 1] = values[j];
		values[j] = value;
	}
}

void scan_create(struct scan *scan, const struct run *run, uint64_t pages)
{
	uint64_t random = random_for(run->seed, MAX_THREADS);
	uint64_t wanted = run->touch > 0 && run->touch < pages ? run->touch : pages;
	uint64_t length = run->touch_run < pages ? run->touch_run : pages;
	uint64_t runs = pages / length;
	uint32_t *starts = allocate(runs, sizeof(*starts));

	*scan = (struct scan){
		.pages = allocate(pages, sizeof(*scan->pages)),
		.ns = allocate(pages, sizeof(*scan->ns)),
	};
	/* Written now: a fault of its own must not disturb a sample. */
	memset(scan->ns, 0xff, pages * sizeof(*scan->ns));
	for (uint64_t i = 0; i < runs; i++)
		starts[i] = (uint32_t)(i * length);
	shuffle(starts, runs, &random);
	for (uint64_t i = 0; i < runs && scan->count < wanted; i++)
		for (uint64_t j = 0; j < length && scan->count < wanted; j++)
			scan->pages[scan->count++] = starts[i] + (uint32_t)j;
	/* What is left when the runs do not fill the memory. */
	for (uint64_t page = runs * length; page < pages && scan->count < wanted; page++)
		scan->pages[scan->count++] = (uint32_t)page;
	free(starts);
}

static void *touch(void *argument)
{
	struct toucher *toucher = argument;
	struct scan *scan = toucher->scan;

	report_thread = toucher->number;
	for (uint64_t i = toucher->number - 1; i < scan->count; i += toucher->run->threads) {
		uint64_t ns = guest_read(toucher->guest, scan->pages[i], toucher->run->quick);

		scan->ns[i] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
		if (toucher->run->pace) /* the size of the load, not an order of events */
			nanosleep(&(struct timespec){.tv_nsec = toucher->run->pace * 1000l}, NULL);
	}
	return NULL;
}

void scan_join(pthread_t thread, unsigned int patience)
{
	for (;;) {
		struct timespec tick;

		clock_gettime(CLOCK_REALTIME, &tick);
		tick.tv_nsec += 100000000;
		if (tick.tv_nsec >= 1000000000) {
			tick.tv_nsec -= 1000000000;
			tick.tv_sec++;
		}
		if (pthread_timedjoin_np(thread, NULL, &tick) == 0)
			return;
		report_check_patience(patience);
	}
}

void scan_run(struct scan *scan, const struct run *run, struct guest *guest)
{
	struct toucher touchers[MAX_THREADS];
	uint64_t start = report_now();

	for (unsigned int i = 0; i < run->threads; i++) {
		touchers[i] =
			(struct toucher){.number = i + 1, .run = run, .guest = guest, .scan = scan};
		if (pthread_create(&touchers[i].thread, NULL, touch, &touchers[i]))
			report_setup(errno, "pthread_create");
	}
	for (unsigned int i = 0; i < run->threads; i++)
		scan_join(touchers[i].thread, run->patience);
	scan->elapsed = report_now() - start;
}

void scan_everything(const struct run *run, struct guest *guest)
{
	struct run all = *run;
	struct scan scan;

	all.touch = 0;
	all.touch_run = 1;
	all.quick = false;
	all.pace = 0;
	scan_create(&scan, &all, guest->pages);
	scan_run(&scan, &all, guest);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The smallest sample that so many thousandths of all do not exceed; `ns` is sorted. */
static uint32_t percentile(const uint32_t *ns, uint64_t count, unsigned int per_mille)
{
	uint64_t rank = (count * per_mille + 999) / 1000;

	return count == 0 ? 0 : ns[rank > 0 ? rank - 1 : 0];
}

void scan_report(const char *word, uint32_t *ns, uint64_t count, uint64_t elapsed, uint64_t total)
{
	qsort(ns, count, sizeof(*ns), compare);
	report_line("%s pages=%lu us=%lu total_us=%lu p50_ns=%u p99_ns=%u max_ns=%u", word, count,
		    elapsed / 1000, total / 1000, percentile(ns, count, 500),
		    percentile(ns, count, 990), percentile(ns, count, 1000));
}
