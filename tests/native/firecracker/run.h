/* run.h - what uffd-firecracker can do. */
#ifndef FIRECRACKER_RUN_H
#define FIRECRACKER_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "random.h"

struct run {
	struct memory_options memory;
	const char *socket;
	const char *image;
	bool pattern;		   /* the image holds what the benchmarks' images hold */
	const char *hostile;	   /* NULL = behaves */
	unsigned int threads;	   /* vCPUs */
	unsigned int device_pages; /* touched by the restore itself, before the vCPUs run */
	uint64_t touch;		   /* pages that are touched in a scan, 0 = all */
	uint64_t touch_run;	   /* of which so many lie side by side */
	bool load;		   /* reads, writes, balloon for a time, and not a scan */
	unsigned int seconds;	   /* of the load, 0 = until SIGTERM */
	unsigned int pace;	   /* microseconds between two accesses of a vCPU */
	bool reporting;		   /* free pages are reported all the time */
	bool storm;		   /* and without a pause */
	bool unknown_keys;
	bool quick; /* only the first word of a page is judged in the scan */
	bool hold;  /* waits for the end of stdin, then looks at everything once more */
	unsigned int send_pace;
	unsigned int patience; /* seconds after which a thread that waits hangs */
	uint64_t seed;
	unsigned int clones;
};

/* Restores a guest and runs it; returns the exit code. */
int run_guest(const struct run *run);

/* Restores a guest that does what standard input says; returns the exit code. */
int run_script(const struct run *run);

/* Hands over what no handler can serve, and tells what comes of it; returns the exit code. */
int run_hostile(const struct run *run);

/* The names of what run_hostile knows, one a line. */
void run_list_hostile(void);

/* `clones` processes that restore the same snapshot at the same time and touch `touch` pages. */
int run_clones(const struct run *run);

/* A generator for each thread of a seed. Never 0, which would stay 0. */
static inline uint64_t random_for(uint64_t seed, unsigned int thread)
{
	return (seed * 1000 + thread + 1) * 0x9e3779b97f4a7c15ull | 1;
}

#endif
