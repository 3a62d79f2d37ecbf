/* samples.h - exact latency samples: as many as there are faults, written before the clock starts.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
	uint32_t *ns; /* one per fault; 4.29 s is the longest that can be told */
	size_t count;
	size_t capacity;
};

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

/* Returns 0 or ENOMEM. The memory is touched here, so that no fault of its own disturbs a sample.
 */
int samples_init(struct samples *samples, size_t capacity);

static inline void samples_add(struct samples *samples, uint64_t ns)
{
	if (samples->count < samples->capacity)
		samples->ns[samples->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

void samples_sort(struct samples *samples);

/* The smallest sample that at least `per_mille` thousandths of all samples do not exceed. Sorted
 * only. */
uint32_t samples_percentile(const struct samples *samples, unsigned int per_mille);

double samples_mean(const struct samples *samples);

#endif
