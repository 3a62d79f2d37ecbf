/*
 * watch.h - what is told about a run: counters that forked children share with their parent, how
 * long anything had to wait, and the end of everything at the first wrong byte.
 */
#ifndef COMMON_WATCH_H
#define COMMON_WATCH_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MAX_THREADS 64u
#define MAX_DEPTH 2u

enum { EXIT_WRONG = 1 /* something was not as it must be; stdout says what */ };

/* One for each thread, one for the child that it has forked, one for that child's child. */
struct watch_slot {
	_Atomic int64_t busy_since; /* CLOCK_MONOTONIC in ns; 0 while it waits for nothing */
	const char *_Atomic what;
};

struct watch {
	struct watch_slot slots[(MAX_DEPTH + 1) * MAX_THREADS];
	_Atomic uint64_t operations;
	_Atomic uint64_t reads;
	_Atomic uint64_t writes;
	_Atomic uint64_t removals;
	_Atomic uint64_t layouts;
	_Atomic uint64_t forks;
	_Atomic uint64_t orphans;
	_Atomic uint64_t reconnects;
	_Atomic uint64_t resent;
	_Atomic int64_t stall; /* longest wait so far, ns */
	const char *_Atomic stalled;
	_Atomic int64_t stalled_at; /* CLOCK_MONOTONIC in ns: when it ended */
};

extern struct watch *watch;			/* in memory that is shared with forked children */
extern _Thread_local unsigned int watch_number; /* whose slot this thread uses */

void watch_create(uint64_t seed);
int64_t watch_now(void);

/* Everything that may wait stands between these two. */
void watch_begin(const char *what);
void watch_end(void);

/* The longest wait, those that have not ended included, in ns. */
int64_t watch_longest(const char **what);

/* One line about the run so far on stdout: "WORD ops=N reads=N ... stall_ms=N stalled=WHAT". */
void watch_print(const char *word);

/* Called first by watch_fail, by one thread; NULL: nothing. */
extern void (*watch_before_failing)(void);

/* Says what is wrong, in one line that begins with "FAIL seed=N", and ends the process with 1. */
_Noreturn void watch_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a signal that a thread got where it must get none. */
_Noreturn void watch_fail_by_signal(const siginfo_t *info);

#endif
