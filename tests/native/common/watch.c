#include "watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct watch *watch;
_Thread_local unsigned int watch_number;
void (*watch_before_failing)(void);

static uint64_t run_seed;
static _Thread_local int64_t begun;

void watch_create(uint64_t seed)
{
	run_seed = seed;
	watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (watch == MAP_FAILED) {
		perror("mmap");
		exit(EXIT_WRONG);
	}
}

int64_t watch_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void watch_begin(const char *what)
{
	struct watch_slot *slot = &watch->slots[watch_number];

	begun = watch_now();
	atomic_store_explicit(&slot->what, what, memory_order_relaxed);
	atomic_store_explicit(&slot->busy_since, begun, memory_order_release);
}

void watch_end(void)
{
	struct watch_slot *slot = &watch->slots[watch_number];
	int64_t now = watch_now();
	int64_t waited = now - begun;
	int64_t longest = atomic_load_explicit(&watch->stall, memory_order_relaxed);

	atomic_store_explicit(&slot->busy_since, 0, memory_order_release);
	while (waited > longest)
		if (atomic_compare_exchange_weak(&watch->stall, &longest, waited)) {
			watch->stalled = slot->what;
			watch->stalled_at = now;
			break;
		}
}

int64_t watch_longest(const char **what)
{
	int64_t now = watch_now();
	int64_t longest = watch->stall;

	*what = watch->stalled;
	for (unsigned int i = 0; i < (MAX_DEPTH + 1) * MAX_THREADS; i++) {
		int64_t since =
			atomic_load_explicit(&watch->slots[i].busy_since, memory_order_acquire);

		if (since != 0 && now - since > longest) {
			longest = now - since;
			*what = watch->slots[i].what;
		}
	}
	return longest;
}

void watch_print(const char *word)
{
	const char *what;
	int64_t longest = watch_longest(&what);

	printf("%s ops=%lu reads=%lu writes=%lu removals=%lu layouts=%lu forks=%lu orphans=%lu "
	       "reconnects=%lu resent=%lu stall_ms=%ld stalled=%s\n",
	       word, watch->operations, watch->reads, watch->writes, watch->removals,
	       watch->layouts, watch->forks, watch->orphans, watch->reconnects, watch->resent,
	       longest / 1000000, what ? what : "-");
	fflush(stdout);
}

void watch_fail(const char *format, ...)
{
	static atomic_flag failing = ATOMIC_FLAG_INIT;
	bool first = !atomic_flag_test_and_set(&failing);
	char text[1024];
	int length =
		snprintf(text, sizeof(text), "FAIL seed=%lu pid=%d thread=%u at=%ld: ", run_seed,
			 getpid(), watch_number, watch_now());
	va_list arguments;

	va_start(arguments, format);
	length += vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(text) - 2)
		length = (int)sizeof(text) - 2;
	text[length++] = '\n';
	if (first && watch_before_failing)
		watch_before_failing();
	/* Not stdio: its lock may be held by a thread that did not come along through fork. */
	if (write(STDOUT_FILENO, text, (size_t)length) < 0)
		_exit(EXIT_WRONG + 1);
	_exit(EXIT_WRONG);
}

void watch_fail_by_signal(const siginfo_t *info)
{
	const char *what = watch->slots[watch_number].what;

	watch_fail("signal %d, code %d at %p while it %s", info->si_signo, info->si_code,
		   info->si_addr, what ? what : "starts");
}
