#include "modes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "random.h"
#include "samples.h"

/* ---- what all modes do ------------------------------------------------------------------------
 */

/* A range of fresh memory under a session of its own. */
struct load {
	struct session session;
	char *memory;
	uint64_t length;
	int image; /* descriptor sent along, or -1 */
};

static int open_image(const struct run *run, uint64_t length)
{
	int image = -1;

	/* The reference handler has its own image and takes none. */
	if (run->session.protocol == PROTOCOL_REFERENCE)
		return -1;
	if (run->source == SOURCE_FILE) {
		image = open(run->image_path, O_RDONLY | O_CLOEXEC);
		if (image < 0)
			client_die(errno, run->image_path);
	} else if (run->source == SOURCE_MEMFD) {
		int error = image_create_memfd(length, &image);

		if (error)
			client_die(error, "memfd");
	}
	return image;
}

static void check(const struct load *load, int error)
{
	if (error)
		client_die(0, load->session.error);
}

static void load_open(struct load *load, const struct run *run, uint64_t length)
{
	load->length = length;
	load->image = open_image(run, length);
	load->memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (load->memory == MAP_FAILED)
		client_die(errno, "mmap");
	check(load, session_open(&load->session, &run->session));
	check(load, session_register(&load->session, load->memory, length, load->image));
}

static void load_close(struct load *load)
{
	session_close(&load->session);
	munmap(load->memory, load->length);
	if (load->image >= 0)
		close(load->image);
}

static void load_verify(const struct load *load, const struct run *run)
{
	if (!run->verify)
		return;
	uint64_t wrong = image_count_wrong_pages(load->memory, 0, load->length, run->expect_zero);

	if (wrong > 0) {
		char text[96];

		snprintf(text, sizeof(text), "%llu of %llu pages have wrong contents",
			 (unsigned long long)wrong,
			 (unsigned long long)(load->length / BENCH_PAGE));
		client_die(0, text);
	}
}

/* Touches one page: the fault, then the check of its first word. */
static inline void touch(const struct load *load, uint64_t page, bool zero)
{
	uint64_t offset = page * BENCH_PAGE;
	uint64_t word = *(volatile uint64_t *)(void *)(load->memory + offset);

	if (word != (zero ? 0 : image_word(offset)))
		client_die(0, "a page has wrong contents");
}

/* Exchanges the numbers into an order that no read-ahead guesses. */
static void shuffle(uint32_t *order, uint64_t count, uint64_t state)
{
	for (uint64_t i = count; i > 1; i--) {
		uint64_t j = next_random(&state) % i;
		uint32_t swapped = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swapped;
	}
}

/* Pages first .. first + count - 1 in an order that no read-ahead guesses; the same in every run.
 */
static uint32_t *shuffled(uint64_t first, uint64_t count)
{
	uint32_t *order = malloc(count * sizeof(*order));
	if (!order)
		client_die(ENOMEM, "order");
	for (uint64_t i = 0; i < count; i++)
		order[i] = (uint32_t)(first + i);
	shuffle(order, count, 0x2545f4914f6cdd1dull + first);
	return order;
}

/* ---- one session ------------------------------------------------------------------------------
 */

int mode_latency(const struct run *run)
{
	struct load load;
	struct samples samples;
	uint32_t *order = shuffled(0, run->faults);

	if (samples_init(&samples, run->faults))
		client_die(ENOMEM, "samples");
	load_open(&load, run, run->faults * BENCH_PAGE);
	uint64_t begin = now_ns();

	for (uint64_t i = 0; i < run->faults; i++) {
		uint64_t before = now_ns();

		touch(&load, order[i], run->expect_zero);
		samples_add(&samples, now_ns() - before);
	}
	uint64_t end = now_ns();

	load_verify(&load, run);
	load_close(&load);
	samples_sort(&samples);
	printf("{\"mode\":\"latency\",\"faults\":%zu,\"seconds\":%.6f,\"mean_ns\":%.0f,"
	       "\"p50_ns\":%u,\"p90_ns\":%u,\"p99_ns\":%u,\"p999_ns\":%u,\"max_ns\":%u}\n",
	       samples.count, (double)(end - begin) / 1e9, samples_mean(&samples),
	       samples_percentile(&samples, 500), samples_percentile(&samples, 900),
	       samples_percentile(&samples, 990), samples_percentile(&samples, 999),
	       samples_percentile(&samples, 1000));
	return 0;
}

/* Whether any page of the image is in the page cache. */
static bool is_cached(int image, uint64_t length)
{
	uint64_t pages = length / BENCH_PAGE;
	void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, image, 0);
	unsigned char *cached = malloc(pages);
	bool any = false;

	if (mapping == MAP_FAILED || !cached || mincore(mapping, length, cached) < 0)
		client_die(errno, "mincore");
	for (uint64_t i = 0; i < pages; i++)
		any |= cached[i] & 1;
	free(cached);
	munmap(mapping, length);
	return any;
}

/* A page that somebody has mapped stays: the handler may still be closing the session before. */
static void evict(const struct run *run)
{
	uint64_t deadline = now_ns() + 10000000000ull;
	int image = open(run->image_path, O_RDONLY | O_CLOEXEC);

	/* What is still to be written stays as well. */
	if (image < 0 || fdatasync(image) < 0)
		client_die(errno, run->image_path);
	do {
		if (now_ns() > deadline)
			client_die(0, "the image does not leave the page cache");
		posix_fadvise(image, 0, 0, POSIX_FADV_DONTNEED);
	} while (is_cached(image, run->length));
	close(image);
}

/* Pages per cluster: what a program touches lies together in small pieces. */
#define CLUSTER 3ul

int mode_scattered(const struct run *run)
{
	struct load load;
	uint64_t clusters = run->length / BENCH_PAGE / CLUSTER;
	uint64_t wanted = run->faults / CLUSTER;
	uint32_t *order = shuffled(0, clusters);

	if (wanted > clusters)
		client_die(0, "more faults than pages");
	shuffle(order, clusters, 0x9e3779b97f4a7c15ull * (run->seed + 1));
	if (run->evict)
		evict(run);
	uint64_t begin = now_ns();

	load_open(&load, run, run->length);
	for (uint64_t i = 0; i < wanted; i++)
		for (uint64_t page = 0; page < CLUSTER; page++)
			touch(&load, order[i] * CLUSTER + page, run->expect_zero);
	uint64_t end = now_ns();

	load_close(&load);
	free(order);
	printf("{\"mode\":\"scattered\",\"pages\":%llu,\"seconds\":%.6f}\n",
	       (unsigned long long)(wanted * CLUSTER), (double)(end - begin) / 1e9);
	return 0;
}

int mode_populate(const struct run *run)
{
	struct load load;

	load_open(&load, run, run->length);
	uint64_t begin = now_ns();

	check(&load, session_populate(&load.session, load.memory, load.length));
	double seconds = (double)(now_ns() - begin) / 1e9;

	load_verify(&load, run);
	load_close(&load);
	printf("{\"mode\":\"populate\",\"bytes\":%llu,\"seconds\":%.6f,\"gb_per_second\":%.4f}\n",
	       (unsigned long long)run->length, seconds, (double)run->length / seconds / 1e9);
	return 0;
}

int mode_register(const struct run *run)
{
	struct session session;
	struct samples samples;
	void *memory = mmap(NULL, run->length, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		client_die(errno, "mmap");
	if (samples_init(&samples, run->repeat))
		client_die(ENOMEM, "samples");
	if (session_open(&session, &run->session))
		client_die(0, session.error);
	for (unsigned int i = 0; i < run->repeat; i++) {
		uint64_t before = now_ns();

		if (session_register(&session, memory, run->length, -1))
			client_die(0, session.error);
		samples_add(&samples, now_ns() - before);
		if (session_unregister(&session, memory, run->length))
			client_die(0, session.error);
	}
	session_close(&session);
	samples_sort(&samples);
	printf("{\"mode\":\"register\",\"bytes\":%llu,\"p50_ns\":%u,\"max_ns\":%u}\n",
	       (unsigned long long)run->length, samples_percentile(&samples, 500),
	       samples_percentile(&samples, 1000));
	return 0;
}

/* ---- many sessions ----------------------------------------------------------------------------
 */

/*
 * A crowd: forked client processes whose threads all report on `ready` and then wait until the
 * parent closes its end of `go`. The end times are in memory that all share.
 */
struct crowd {
	const struct run *run;
	int ready[2];
	int go[2];
	uint64_t *ends; /* one per thread of every client */
};

struct worker {
	const struct crowd *crowd;
	const struct load *load;
	uint32_t *order;
	uint64_t count;
	uint64_t *end;
	pthread_t thread;
};

static void wait_for_go(const struct crowd *crowd)
{
	char byte = 1;
	ssize_t got;

	if (write(crowd->ready[1], &byte, 1) != 1)
		client_die(errno, "ready");
	do
		got = read(crowd->go[0], &byte, 1);
	while (got < 0 && errno == EINTR);
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	wait_for_go(worker->crowd);
	for (uint64_t i = 0; i < worker->count; i++)
		touch(worker->load, worker->order[i], worker->crowd->run->expect_zero);
	*worker->end = now_ns();
	return NULL;
}

/* One client process of the throughput mode. */
static void run_workers(const struct crowd *crowd, unsigned int index)
{
	const struct run *run = crowd->run;
	uint64_t pages = run->faults / (run->clients * run->threads);
	struct worker *workers = calloc(run->threads, sizeof(*workers));
	struct load load;

	if (!workers)
		client_die(ENOMEM, "workers");
	load_open(&load, run, pages * run->threads * BENCH_PAGE);
	for (unsigned int i = 0; i < run->threads; i++) {
		workers[i] = (struct worker){
			.crowd = crowd,
			.load = &load,
			.order = shuffled(i * pages, pages),
			.count = pages,
			.end = &crowd->ends[index * run->threads + i],
		};
		int error = pthread_create(&workers[i].thread, NULL, work, &workers[i]);

		if (error)
			client_die(error, "pthread_create");
	}
	for (unsigned int i = 0; i < run->threads; i++)
		pthread_join(workers[i].thread, NULL);
	load_verify(&load, run);
	load_close(&load);
}

/* One client process of the idle mode. */
static void run_idler(const struct crowd *crowd, unsigned int index)
{
	struct load load;

	(void)index;
	load_open(&load, crowd->run, crowd->run->length);
	touch(&load, 0, crowd->run->expect_zero);
	wait_for_go(crowd);
	load_close(&load);
}

static void crowd_start(struct crowd *crowd, void (*body)(const struct crowd *, unsigned int))
{
	size_t bytes = (size_t)crowd->run->clients * crowd->run->threads * sizeof(*crowd->ends);

	crowd->ends = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd->ends == MAP_FAILED || pipe2(crowd->ready, O_CLOEXEC) < 0 ||
	    pipe2(crowd->go, O_CLOEXEC) < 0)
		client_die(errno, "crowd");
	fflush(stdout);
	for (unsigned int i = 0; i < crowd->run->clients; i++) {
		pid_t child = fork();

		if (child < 0)
			client_die(errno, "fork");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(crowd->go[1]);
			close(crowd->ready[0]);
			body(crowd, i);
			_exit(0);
		}
	}
	close(crowd->go[0]);
	close(crowd->ready[1]);
}

static void reap_one(int flags)
{
	int status;
	pid_t pid = waitpid(-1, &status, flags);

	if (pid > 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		if (WIFSIGNALED(status))
			client_die(0, WTERMSIG(status) == SIGKILL ? "a client was killed"
								  : "a client died");
		/* The client said why. */
		exit(1);
	}
}

/* Returns when `count` threads are ready; ends the program when a client failed before. */
static void crowd_await_ready(const struct crowd *crowd, unsigned int count)
{
	struct pollfd ready = {.fd = crowd->ready[0], .events = POLLIN};

	while (count > 0) {
		char bytes[256];
		ssize_t got = 0;

		if (poll(&ready, 1, 100) > 0)
			got = read(crowd->ready[0], bytes,
				   sizeof(bytes) < count ? sizeof(bytes) : count);
		if (got > 0)
			count -= (unsigned int)got;
		else
			reap_one(WNOHANG);
	}
}

static void crowd_finish(const struct crowd *crowd)
{
	for (unsigned int i = 0; i < crowd->run->clients; i++)
		reap_one(0);
}

int mode_throughput(const struct run *run)
{
	unsigned int workers = run->clients * run->threads;
	struct crowd crowd = {.run = run};
	uint64_t last = 0;

	if (run->faults < workers)
		client_die(0, "fewer faults than threads");
	crowd_start(&crowd, run_workers);
	crowd_await_ready(&crowd, workers);
	uint64_t begin = now_ns();

	close(crowd.go[1]);
	crowd_finish(&crowd);
	for (unsigned int i = 0; i < workers; i++)
		last = crowd.ends[i] > last ? crowd.ends[i] : last;
	double seconds = (double)(last - begin) / 1e9;
	uint64_t faults = run->faults / workers * workers;

	printf("{\"mode\":\"throughput\",\"clients\":%u,\"threads\":%u,\"faults\":%llu,"
	       "\"seconds\":%.6f,\"faults_per_second\":%.0f}\n",
	       run->clients, run->threads, (unsigned long long)faults, seconds,
	       (double)faults / seconds);
	return 0;
}

int mode_idle(const struct run *run)
{
	struct crowd crowd = {.run = run};
	char byte;
	ssize_t got;

	uint64_t begin = now_ns();

	crowd_start(&crowd, run_idler);
	crowd_await_ready(&crowd, run->clients);
	printf("{\"mode\":\"idle\",\"clients\":%u,\"seconds\":%.6f}\n", run->clients,
	       (double)(now_ns() - begin) / 1e9);
	fflush(stdout);
	do
		got = read(STDIN_FILENO, &byte, 1);
	while (got > 0 || (got < 0 && errno == EINTR));
	close(crowd.go[1]);
	crowd_finish(&crowd);
	return 0;
}
