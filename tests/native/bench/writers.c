/*
 * Threads that write one page after the other all the time, at a fixed pace or without a pause,
 * while somebody copies the memory of this process: the manager, which protects it and takes a
 * snapshot (mode writers), or a child that was forked for it (mode forked), which is how a process
 * copies itself without any help. How long each write took is counted from when it was due, so that
 * a standstill is paid for by all the writes that it delays.
 *
 * Says {"ready":1} when the memory is filled and the threads run. Then one line of input begins the
 * measurement; in mode writers another one ends it, in mode forked the end of the child does.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "modes.h"
#include "samples.h"

#define PIECE (1ul << 20)

enum phase { PHASE_BEFORE, PHASE_COPY, PHASE_OVER };

struct world {
	char *memory;
	uint64_t pages;
	unsigned int threads;
	uint64_t pace; /* ns between two writes of a thread, 0 = none */
	_Atomic int phase;
};

struct writer {
	pthread_t thread;
	struct world *world;
	unsigned int index;
	unsigned char *written; /* its pages that were written since the copy began */
	struct samples first;
	uint64_t writes[PHASE_OVER];
};

static void sleep_until(uint64_t due)
{
	struct timespec at = {
		.tv_sec = (time_t)(due / 1000000000ull),
		.tv_nsec = (long)(due % 1000000000ull),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* Its pages are those with its index modulo the number of threads, in an order that no read-ahead
 * and no order of copying follows. */
static void *write_all_the_time(void *argument)
{
	struct writer *writer = argument;
	struct world *world = writer->world;
	uint64_t mine = world->pages / world->threads;
	uint64_t state = 0x9e3779b97f4a7c15ull * (writer->index + 1);
	uint64_t due = now_ns();

	prctl(PR_SET_TIMERSLACK, 1);
	for (;;) {
		int phase = atomic_load_explicit(&world->phase, memory_order_acquire);

		if (phase == PHASE_OVER)
			return NULL;
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t at = (state >> 33) % mine;
		char *page = world->memory + (at * world->threads + writer->index) * BENCH_PAGE;

		due = world->pace ? due + world->pace : now_ns();
		if (world->pace && now_ns() < due)
			sleep_until(due);
		(*(volatile uint64_t *)page)++;
		writer->writes[phase]++;
		if (phase == PHASE_COPY && !writer->written[at]) {
			writer->written[at] = 1;
			samples_add(&writer->first, now_ns() - due);
		}
	}
}

static void fill(char *memory, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += BENCH_PAGE)
		memset(memory + at, (int)(1 + at / BENCH_PAGE % 251), BENCH_PAGE);
}

static void await_line(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		client_die(0, "the input is closed");
}

/* The child's half. It must not do more than system calls: it has one thread of many. */
_Noreturn static void copy_out(const struct world *world, const char *path)
{
	uint64_t length = world->pages * BENCH_PAGE;
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (file < 0)
		_exit(2);
	for (uint64_t at = 0; at < length;) {
		uint64_t left = length - at;
		ssize_t done = write(file, world->memory + at, left < PIECE ? left : PIECE);

		if (done <= 0)
			_exit(3);
		at += (uint64_t)done;
	}
	_exit(fsync(file) < 0 ? 4 : 0);
}

/* Returns how long fork() itself took. */
static uint64_t copy_by_fork(const struct world *world, const char *path)
{
	uint64_t began = now_ns();
	pid_t child = fork();
	uint64_t forked = now_ns() - began;
	int status = 0;

	if (child < 0)
		client_die(errno, "fork");
	if (child == 0)
		copy_out(world, path);
	if (waitpid(child, &status, 0) < 0 || status != 0)
		client_die(errno, "the child could not copy the memory");
	return forked;
}

static struct samples merge(struct writer *writers, unsigned int threads)
{
	struct samples all;
	size_t count = 0;

	for (unsigned int i = 0; i < threads; i++)
		count += writers[i].first.count;
	if (samples_init(&all, count > 0 ? count : 1))
		client_die(ENOMEM, "samples");
	for (unsigned int i = 0; i < threads; i++)
		for (size_t k = 0; k < writers[i].first.count; k++)
			samples_add(&all, writers[i].first.ns[k]);
	samples_sort(&all);
	return all;
}

static double rate(const struct writer *writers, unsigned int threads, int phase, uint64_t ns)
{
	uint64_t writes = 0;

	for (unsigned int i = 0; i < threads; i++)
		writes += writers[i].writes[phase];
	return ns > 0 ? (double)writes * 1e9 / (double)ns : 0;
}

static int measure(const struct run *run, bool is_forked)
{
	struct world world = {
		.pages = run->length / BENCH_PAGE,
		.threads = run->threads,
		.pace = run->pace,
	};
	struct writer *writers = calloc(run->threads, sizeof(*writers));
	struct session session;
	uint64_t mine = world.pages / run->threads;
	uint64_t forked = 0;

	world.memory = mmap(NULL, run->length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!writers || world.memory == MAP_FAILED || mine == 0)
		client_die(errno, "memory");
	if (!is_forked && (session_open(&session, &run->session) ||
			   session_register(&session, world.memory, run->length, -1)))
		client_die(0, session.error);
	fill(world.memory, run->length);
	for (unsigned int i = 0; i < run->threads; i++) {
		writers[i] = (struct writer){.world = &world, .index = i};
		writers[i].written = malloc(mine);
		if (!writers[i].written || samples_init(&writers[i].first, mine))
			client_die(ENOMEM, "samples");
		memset(writers[i].written, 0, mine);
	}
	uint64_t began = now_ns();

	for (unsigned int i = 0; i < run->threads; i++)
		if (pthread_create(&writers[i].thread, NULL, write_all_the_time, &writers[i]))
			client_die(EAGAIN, "pthread_create");
	printf("{\"ready\":1}\n");
	fflush(stdout);
	await_line();

	uint64_t copying = now_ns();

	atomic_store_explicit(&world.phase, PHASE_COPY, memory_order_release);
	if (is_forked)
		forked = copy_by_fork(&world, run->image_path);
	else
		await_line();
	uint64_t over = now_ns();

	atomic_store_explicit(&world.phase, PHASE_OVER, memory_order_release);
	for (unsigned int i = 0; i < run->threads; i++)
		pthread_join(writers[i].thread, NULL);
	struct samples first = merge(writers, run->threads);
	double before = rate(writers, run->threads, PHASE_BEFORE, copying - began);
	double during = rate(writers, run->threads, PHASE_COPY, over - copying);

	printf("{\"first\":%zu,\"p50_ns\":%u,\"p99_ns\":%u,\"max_ns\":%u,\"still_ns\":%llu,"
	       "\"copy_ns\":%llu,\"kept\":%.4f}\n",
	       first.count, samples_percentile(&first, 500), samples_percentile(&first, 990),
	       samples_percentile(&first, 1000), (unsigned long long)forked,
	       (unsigned long long)(over - copying), before > 0 ? during / before : 0);
	fflush(stdout);
	return 0;
}

int mode_writers(const struct run *run)
{
	return measure(run, false);
}

int mode_forked(const struct run *run)
{
	return measure(run, true);
}
