/* Times are microseconds of CLOCK_MONOTONIC; 0 as a deadline is "none". */
#ifndef SUPERVISE_CLOCK_H
#define SUPERVISE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MILLISECOND UINT64_C(1000)
#define SECOND UINT64_C(1000000)

static inline uint64_t clock_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec / 1000;
}

#endif
