#include <linux/futex.h>
#include <signal.h>
#include <time.h>
#include "area.h"

struct shim_area *shim_area;

void shim_wake(uint32_t *word, int count)
{
	sys3(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
}

long shim_wait(uint32_t *word, uint32_t seen, unsigned timeout_ms)
{
	struct timespec timeout = {.tv_sec = timeout_ms / 1000,
				   .tv_nsec = (long)(timeout_ms % 1000) * 1000000};

	return sys4(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen,
		    timeout_ms ? &timeout : NULL);
}

uint64_t shim_now_ms(void)
{
	struct timespec now = {0};

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void shim_block_signals(uint64_t *old)
{
	uint64_t all = ~0ull;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, sizeof(all));
}

void shim_restore_signals(const uint64_t *old)
{
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(*old));
}
