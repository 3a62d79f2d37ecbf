/* load.c - a guest's life after its restore: vCPUs, a balloon, free page reporting, hot-plug. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "guest.h"
#include "handover.h"
#include "report.h"
#include "run.h"
#include "scan.h"

#define PROGRESS 200000000 /* ns between two lines */
#define CHUNK 64u	   /* pages: the unit in which memory is given to the devices below */

/* What a chunk of pages is for, by its number modulo 4: the rest belongs to the vCPUs alone. */
enum {
	CHUNK_BALLOON = 1,
	CHUNK_REPORTED = 3,
};

struct thread {
	pthread_t thread;
	unsigned int number;
	const struct run *run;
	struct guest *guest;
	uint64_t random;
	void (*step)(struct thread *thread);
	unsigned int pace; /* microseconds between two steps */
};

static atomic_bool stopping;

static void *repeat(void *argument)
{
	struct thread *thread = argument;

	report_thread = thread->number;
	while (!atomic_load(&stopping)) {
		thread->step(thread);
		if (thread->pace) /* the size of the load, not an order of events */
			nanosleep(&(struct timespec){.tv_nsec = thread->pace * 1000l}, NULL);
	}
	return NULL;
}

/* Guests of a few huge pages have no chunks. */
static uint64_t chunk_pages(const struct guest *guest)
{
	return guest->pages >= 4 * CHUNK ? CHUNK : 1;
}

static void vcpu_step(struct thread *thread)
{
	uint64_t choice = next_random(&thread->random);
	uint64_t page = (choice >> 8) % thread->guest->pages;

	/* Every fourth chunk is never written, so that the snapshot's contents never run out. */
	if (choice % 256 < 64 && page / chunk_pages(thread->guest) % 4 != 0)
		guest_write(thread->guest, page);
	else
		guest_read(thread->guest, page, false);
}

/* The first page of a chunk of that kind; any page if the guest is too small to have one. */
static uint64_t chunk_of(struct thread *thread, unsigned int kind)
{
	uint64_t chunk = chunk_pages(thread->guest);
	uint64_t groups = thread->guest->pages / (4 * chunk);

	if (groups == 0)
		return next_random(&thread->random) % thread->guest->pages;
	return (next_random(&thread->random) % groups * 4 + kind) * chunk;
}

static void balloon_step(struct thread *thread)
{
	uint64_t chunk = chunk_pages(thread->guest);
	uint64_t at = next_random(&thread->random) % chunk;
	uint64_t most = chunk - at < 16 ? chunk - at : 16;

	guest_give_up(thread->guest, chunk_of(thread, CHUNK_BALLOON) + at,
		      1 + next_random(&thread->random) % most);
}

static void reporting_step(struct thread *thread)
{
	guest_give_up(thread->guest, chunk_of(thread, CHUNK_REPORTED), chunk_pages(thread->guest));
}

static void hotplug_step(struct thread *thread)
{
	guest_toggle_slot(thread->guest,
			  (unsigned int)(next_random(&thread->random) % HOTPLUG_SLOTS));
}

static void print_progress(const char *word, struct guest *guest)
{
	report_line("%s reads=%lu raced=%lu writes=%lu removals=%lu plugs=%lu stall_ms=%lu", word,
		    guest->reads, guest->raced, guest->writes, guest->removals, guest->plugs,
		    report_longest() / 1000000);
}

static unsigned int start_all(struct thread *threads, const struct run *run, struct guest *guest)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < run->threads; i++)
		threads[count++] = (struct thread){.step = vcpu_step, .pace = run->pace};
	if (run->memory.balloon)
		threads[count++] = (struct thread){.step = balloon_step, .pace = 1000};
	if (run->reporting)
		threads[count++] =
			(struct thread){.step = reporting_step, .pace = run->storm ? 0 : 200};
	if (run->memory.hotplug)
		threads[count++] = (struct thread){.step = hotplug_step, .pace = 20000};
	for (unsigned int i = 0; i < count; i++) {
		threads[i].number = i + 1;
		threads[i].run = run;
		threads[i].guest = guest;
		threads[i].random = random_for(run->seed, i);
		if (pthread_create(&threads[i].thread, NULL, repeat, &threads[i]))
			report_setup(errno, "pthread_create");
	}
	return count;
}

static void live(const struct run *run, struct guest *guest, const sigset_t *signals)
{
	struct thread threads[MAX_THREADS];
	unsigned int count = start_all(threads, run, guest);
	uint64_t end = report_now() + run->seconds * 1000000000ull;

	while (run->seconds == 0 || report_now() < end) {
		if (sigtimedwait(signals, NULL, &(struct timespec){.tv_nsec = PROGRESS}) > 0)
			break;
		print_progress("progress", guest);
		report_check_patience(run->patience);
	}
	atomic_store(&stopping, true);
	for (unsigned int i = 0; i < count; i++)
		scan_join(threads[i].thread, run->patience);
}

struct restore {
	const struct run *run;
	struct guest *guest;
};

/* What the restore itself touches before the vCPUs run: the queues of the devices. */
static void *restore_devices(void *argument)
{
	const struct restore *restore = argument;
	unsigned int pages = restore->run->device_pages;
	uint64_t start = report_now();

	report_thread = 1;
	for (unsigned int i = 0; i < pages; i++)
		guest_read(restore->guest, i * (restore->guest->hotplug_start / pages), false);
	report_line("restored pages=%u us=%lu", pages, (report_now() - start) / 1000);
	return NULL;
}

static void await_restore(const struct run *run, struct guest *guest)
{
	struct restore restore = {.run = run, .guest = guest};
	pthread_t thread;

	if (pthread_create(&thread, NULL, restore_devices, &restore))
		report_setup(errno, "pthread_create");
	scan_join(thread, run->patience);
}

int run_guest(const struct run *run)
{
	static struct guest guest;
	struct scan scan;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	report_catch_poison();
	guest_create(&guest, &run->memory, run->image, run->pattern);

	uint64_t begun = report_now();

	handover(run->socket, &guest.memory, run->memory.version, run->unknown_keys,
		 run->send_pace);
	await_restore(run, &guest);
	if (run->load) {
		live(run, &guest, &signals);
	} else {
		scan_create(&scan, run, guest.pages);
		scan_run(&scan, run, &guest);
		scan_report("touched", scan.ns, scan.count, scan.elapsed, report_now() - begun);
	}
	if (run->load || run->touch == 0 || run->hold) {
		if (run->hold) {
			report_line("holds");
			while (getchar() != EOF)
				;
		}
		scan_everything(run, &guest);
	}
	uint64_t wasted = guest_wasted(&guest);

	if (wasted)
		report_fail("%lu bytes of unplugged memory were filled", wasted);
	print_progress("ok", &guest);
	return 0;
}
