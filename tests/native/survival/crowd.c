/* crowd.c - many processes with a session each: that come and go, or that stay and touch a page on
 * demand. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fields.h"
#include "image.h"
#include "modes.h"
#include "uffd_manager/protocol.h"
#include "watch.h"

/* Shared with all of the crowd. */
struct crowd {
	_Atomic uint32_t round; /* the page to touch; a futex */
	_Atomic uint32_t done;	/* how many have touched it; a futex */
	_Atomic int64_t first;	/* CLOCK_MONOTONIC, ns */
	_Atomic int64_t last;
};

static struct crowd *crowd;
static int source = -1;

static void wait_for_change(_Atomic uint32_t *word, uint32_t from)
{
	while (atomic_load(word) == from)
		syscall(SYS_futex, word, FUTEX_WAIT, from, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* A session of this process and its memory: contents of the source, or zeros without one. */
static unsigned char *open_session(const struct run *run)
{
	struct link link = {
		.path = run->socket,
		.policy = run->policy,
		.label = "survival-crowd",
		.patience = run->patience,
		.keeper = run->keeper,
	};
	size_t length = run->pages * BASE_PAGE;

	link_open(&link);
	void *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		watch_fail("mmap: %s", strerror(errno));
	link_register(&link, &(struct link_range){.start = (uint64_t)(uintptr_t)memory,
						  .length = length,
						  .modes = UFFDM_MODE_MISSING,
						  .source = source});
	/* The session stays without it, and thousands of connections need not be served. */
	link_close(&link);
	return memory;
}

static void check(const unsigned char *memory, size_t page)
{
	size_t offset = page * BASE_PAGE;

	if (image_count_wrong_pages(memory + offset, offset, BASE_PAGE, source < 0))
		watch_fail("wrong byte in page %zu, which begins with 0x%lx", page,
			   *(const uint64_t *)(const void *)(memory + offset));
}

static void begin(const struct run *run)
{
	watch_create(run->seed);
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (crowd == MAP_FAILED)
		watch_fail("mmap: %s", strerror(errno));
	if (run->source && (source = open(run->source, O_RDONLY | O_CLOEXEC)) < 0)
		watch_fail("%s: %s", run->source, strerror(errno));
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		watch_fail("fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void await_one(void)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0 || status != 0)
		watch_fail("process %d ended with status 0x%x", pid, (unsigned int)status);
}

/* ---- sessions that come and go ---- */

static _Noreturn void come_and_go(const struct run *run)
{
	unsigned char *memory = open_session(run);

	for (size_t page = 0; page < run->pages; page += 3) {
		check(memory, page);
		memory[page * BASE_PAGE] ^= 1;
	}
	_exit(0);
}

int mode_sessions(const struct run *run)
{
	begin(run);
	for (unsigned int i = 0; i < run->count; i++) {
		if (i >= run->parallel)
			await_one();
		if (fork_or_die() == 0)
			come_and_go(run);
	}
	for (unsigned int i = 0; i < run->parallel && i < run->count; i++)
		await_one();
	printf("ok sessions=%u\n", run->count);
	return 0;
}

/* ---- sessions that stay ---- */

static void report(void)
{
	int64_t now = watch_now();
	int64_t first = atomic_load(&crowd->first);
	int64_t last = atomic_load(&crowd->last);

	while ((first == 0 || now < first) &&
	       !atomic_compare_exchange_weak(&crowd->first, &first, now))
		;
	while (now > last && !atomic_compare_exchange_weak(&crowd->last, &last, now))
		;
	atomic_fetch_add(&crowd->done, 1);
	wake_all(&crowd->done);
}

static _Noreturn void stay(const struct run *run)
{
	unsigned char *memory = open_session(run);

	for (uint32_t round = 0;; round++) {
		check(memory, round % run->pages);
		report();
		wait_for_change(&crowd->round, round);
	}
}

static void await_all(const struct run *run)
{
	uint32_t done;

	while ((done = atomic_load(&crowd->done)) < run->count) {
		struct timespec second = {.tv_sec = 1};
		int status;
		pid_t pid;

		syscall(SYS_futex, &crowd->done, FUTEX_WAIT, done, &second, NULL, 0);
		if ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			watch_fail("process %d ended with status 0x%x", pid, (unsigned int)status);
	}
}

int mode_crowd(const struct run *run)
{
	char line[64];

	begin(run);
	for (unsigned int i = 0; i < run->count; i++) {
		if (fork_or_die() == 0)
			stay(run);
		/* Not all at once: each is a handshake, and the manager limits those. */
		while (i + 1 >= run->parallel && atomic_load(&crowd->done) + run->parallel <= i + 1)
			await_all(&(struct run){.count = i + 2 - run->parallel});
	}
	await_all(run);
	printf("ready count=%u\n", run->count);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		crowd->done = 0;
		crowd->first = crowd->last = 0;
		crowd->round++;
		wake_all(&crowd->round);
		await_all(run);
		printf("touched round=%u first_ns=%ld last_ns=%ld\n", crowd->round, crowd->first,
		       crowd->last);
		fflush(stdout);
	}
	puts("ok");
	return 0; /* its end is the end of the crowd */
}
