#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int samples_init(struct samples *samples, size_t capacity)
{
	*samples = (struct samples){
		.ns = malloc(capacity * sizeof(*samples->ns)),
		.capacity = capacity,
	};
	if (!samples->ns)
		return ENOMEM;
	memset(samples->ns, 0xff, capacity * sizeof(*samples->ns));
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void samples_sort(struct samples *samples)
{
	qsort(samples->ns, samples->count, sizeof(*samples->ns), compare);
}

uint32_t samples_percentile(const struct samples *samples, unsigned int per_mille)
{
	if (samples->count == 0)
		return 0;
	size_t rank = (samples->count * per_mille + 999) / 1000;

	return samples->ns[rank > 0 ? rank - 1 : 0];
}

double samples_mean(const struct samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->count; i++)
		sum += samples->ns[i];
	return samples->count > 0 ? sum / (double)samples->count : 0;
}
