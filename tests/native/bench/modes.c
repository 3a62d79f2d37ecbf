/* modes.c - the modes with one session: how long each fault takes, or one request. */
#include "modes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"
#include "samples.h"

int mode_latency(const struct run *run)
{
	struct load load;
	struct samples samples;
	uint32_t *order = load_order(0, run->faults);

	if (samples_init(&samples, run->faults))
		client_die(ENOMEM, "samples");
	load_open(&load, run, run->faults * BENCH_PAGE);
	uint64_t begin = now_ns();

	for (uint64_t i = 0; i < run->faults; i++) {
		uint64_t before = now_ns();

		load_touch(&load, order[i], run->expect_zero);
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
	uint32_t *order = load_order(0, clusters);

	if (wanted > clusters)
		client_die(0, "more faults than pages");
	load_shuffle(order, clusters, 0x9e3779b97f4a7c15ull * (run->seed + 1));
	if (run->evict)
		evict(run);
	uint64_t begin = now_ns();

	load_open(&load, run, run->length);
	for (uint64_t i = 0; i < wanted; i++)
		for (uint64_t page = 0; page < CLUSTER; page++)
			load_touch(&load, order[i] * CLUSTER + page, run->expect_zero);
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

	load_check(&load, session_populate(&load.session, load.memory, load.length));
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
