/* access.c - commands that read and write memory, by the processor or by the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../common/random.h"
#include "client.h"

static int do_read(struct context *c)
{
	return answer(c, "%u", *byte_at(c->arg[0]));
}

static int do_write(struct context *c)
{
	*byte_at(c->arg[0]) = (unsigned char)c->arg[1];
	return answer(c, "0");
}

/* touch ADDRESS LENGTH [STRIDE]: reads a byte of every page; nanoseconds */
static int do_touch(struct context *c)
{
	uint64_t stride = c->argc > 2 ? c->arg[2] : 4096;
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t at = 0; at < c->arg[1]; at += stride)
		(void)*byte_at(c->arg[0] + at);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return result(c, (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec);
}

/* fill ADDRESS LENGTH BYTE */
static int do_fill(struct context *c)
{
	for (uint64_t at = 0; at < c->arg[1]; at++)
		*byte_at(c->arg[0] + at) = (unsigned char)c->arg[2];
	return answer(c, "0");
}

/* differ ADDRESS LENGTH BYTE: how many bytes are not BYTE */
static int do_differ(struct context *c)
{
	long count = 0;

	for (uint64_t at = 0; at < c->arg[1]; at++)
		count += *byte_at(c->arg[0] + at) != (unsigned char)c->arg[2];
	return result(c, count);
}

/* hash ADDRESS LENGTH: FNV-1a, 64 bits */
static int do_hash(struct context *c)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (uint64_t at = 0; at < c->arg[1]; at++)
		hash = (hash ^ *byte_at(c->arg[0] + at)) * 0x100000001b3;
	return answer(c, "%lu", (unsigned long)hash);
}

/* add ADDRESS COUNT: that many atomic increments of the 64-bit word; the last value seen */
static int do_add(struct context *c)
{
	uint64_t *word = pointer(c->arg[0]);
	uint64_t seen = 0;

	for (uint64_t i = 0; i < c->arg[1]; i++)
		seen = __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	return answer(c, "%lu", (unsigned long)seen);
}

/* peek ADDRESS: the 64-bit word */
static int do_peek(struct context *c)
{
	return answer(
		c, "%lu",
		(unsigned long)__atomic_load_n((uint64_t *)pointer(c->arg[0]), __ATOMIC_SEQ_CST));
}

/* march ADDRESS PAGES COUNT SEED: COUNT atomic increments of the first words of random pages */
static int do_march(struct context *c)
{
	uint64_t state = c->arg[3] | 1;

	for (uint64_t i = 0; i < c->arg[2]; i++) {
		uint64_t page = next_random(&state) % c->arg[1];

		__atomic_add_fetch((uint64_t *)pointer(c->arg[0] + page * 4096), 1,
				   __ATOMIC_SEQ_CST);
	}
	return answer(c, "0");
}

/*
 * scribble ADDRESS1 ADDRESS2 PAGES SEED STOP: writes 1, 2, 3... to the first words of random pages
 * of two ranges of PAGES each, until the byte at STOP is not 0; how often
 */
static int do_scribble(struct context *c)
{
	uint64_t state = c->arg[3] | 1, count = 0;

	while (!__atomic_load_n(byte_at(c->arg[4]), __ATOMIC_RELAXED)) {
		uint64_t page = next_random(&state) % (2 * c->arg[2]);
		uint64_t range = c->arg[page / c->arg[2]];
		uint64_t *word = pointer(range + page % c->arg[2] * 4096);

		__atomic_store_n(word, ++count, __ATOMIC_SEQ_CST);
	}
	return answer(c, "%lu", (unsigned long)count);
}

/* relay FROM TO ROLE STOP: two threads (ROLE 0 and 1) hand a counter over and back, until STOP is
 * not 0 */
static int do_relay(struct context *c)
{
	uint64_t *from = pointer(c->arg[0]), *to = pointer(c->arg[1]), count = 0;

	while (!__atomic_load_n(byte_at(c->arg[3]), __ATOMIC_RELAXED)) {
		uint64_t first = __atomic_load_n(from, __ATOMIC_SEQ_CST);
		uint64_t second = __atomic_load_n(to, __ATOMIC_SEQ_CST);

		if (c->arg[2] == 0 && first == second)
			__atomic_store_n(from, ++count, __ATOMIC_SEQ_CST);
		else if (c->arg[2] == 1 && first > second)
			__atomic_store_n(to, first, __ATOMIC_SEQ_CST);
	}
	return answer(c, "%lu", (unsigned long)count);
}

/* shuffle ADDRESS LENGTH COUNT SEED: reads a byte of COUNT random pages; nanoseconds */
static int do_shuffle(struct context *c)
{
	uint64_t state = c->arg[3] | 1, pages = c->arg[1] / 4096;
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t i = 0; i < c->arg[2]; i++) {
		uint64_t page = next_random(&state) % pages;

		(void)*byte_at(c->arg[0] + page * 4096);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return result(c, (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec);
}

/* kread ADDRESS LENGTH: the kernel reads our memory (write(2) into a pipe) */
static int do_kread(struct context *c)
{
	int ends[2], error;
	ssize_t count;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	count = write(ends[1], pointer(c->arg[0]), c->arg[1]);
	error = errno;
	close(ends[0]);
	close(ends[1]);
	errno = error;
	return result(c, count);
}

/* kwrite ADDRESS LENGTH: the kernel writes our memory (read(2) from /dev/zero) */
static int do_kwrite(struct context *c)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), error;
	ssize_t count = read(fd, pointer(c->arg[0]), c->arg[1]);

	error = errno;
	close(fd);
	errno = error;
	return result(c, count);
}

static void ignore_signal(int signal)
{
	(void)signal;
}

/* storm ADDRESS LENGTH MICROSECONDS: as kwrite, while a signal hits the thread that often; a
 * kernel-mode fault then comes back to user space and is repeated for ever */
static int do_storm(struct context *c)
{
	struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	struct itimerspec period = {.it_interval.tv_nsec = (long)c->arg[2] * 1000};
	timer_t timer;
	int failed;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	period.it_value = period.it_interval;
	sigaction(SIGALRM, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return -1;
	timer_settime(timer, 0, &period, NULL);
	failed = do_kwrite(c);
	timer_delete(timer);
	return failed;
}

const struct verb access_verbs[] = {
	{"storm", 3, do_storm},	      {"read", 1, do_read},
	{"write", 2, do_write},	      {"touch", 2, do_touch},
	{"fill", 3, do_fill},	      {"differ", 3, do_differ},
	{"hash", 2, do_hash},	      {"add", 2, do_add},
	{"peek", 1, do_peek},	      {"march", 4, do_march},
	{"scribble", 5, do_scribble}, {"relay", 4, do_relay},
	{"shuffle", 4, do_shuffle},   {"kread", 2, do_kread},
	{"kwrite", 2, do_kwrite},     {0},
};
