/* crowd.c - the modes with many sessions: how many faults a second, or only how many sessions. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "modes.h"
#include "samples.h"

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
		load_touch(worker->load, worker->order[i], worker->crowd->run->expect_zero);
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
			.order = load_order(i * pages, pages),
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
	load_touch(&load, 0, crowd->run->expect_zero);
	wait_for_go(crowd);
	load_close(&load);
}

/*
 * One client process of the clones mode. All touch the same pages, each writes some of its own.
 * What it needs besides is given back: it is its memory that is measured.
 */
static void run_clone(const struct crowd *crowd, unsigned int index)
{
	const struct run *run = crowd->run;
	uint32_t *order = load_order(0, run->faults);
	struct load load;

	(void)index;
	load_open(&load, run, run->length);
	for (uint64_t i = 0; i < run->faults; i++)
		load_touch(&load, order[i], run->expect_zero);
	for (uint64_t i = 0; i < run->writes; i++)
		load.memory[order[i] * BENCH_PAGE + BENCH_PAGE - 1] ^= 1;
	free(order);
	malloc_trim(0);
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

/* Says when all are ready; they stay until the end of stdin. */
static int stay(const struct run *run, const char *mode,
		void (*body)(const struct crowd *, unsigned int))
{
	struct crowd crowd = {.run = run};
	char byte;
	ssize_t got;

	uint64_t begin = now_ns();

	crowd_start(&crowd, body);
	crowd_await_ready(&crowd, run->clients);
	printf("{\"mode\":\"%s\",\"clients\":%u,\"seconds\":%.6f}\n", mode, run->clients,
	       (double)(now_ns() - begin) / 1e9);
	fflush(stdout);
	do
		got = read(STDIN_FILENO, &byte, 1);
	while (got > 0 || (got < 0 && errno == EINTR));
	close(crowd.go[1]);
	crowd_finish(&crowd);
	return 0;
}

int mode_idle(const struct run *run)
{
	return stay(run, "idle", run_idler);
}

int mode_clones(const struct run *run)
{
	if (run->writes > run->faults || run->faults > run->length / BENCH_PAGE)
		client_die(0, "a clone writes pages that it has touched, of its own --length");
	return stay(run, "clones", run_clone);
}
