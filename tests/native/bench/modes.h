/* modes.h - what the load client can measure. Each mode prints one JSON object on one line. */
#ifndef BENCH_MODES_H
#define BENCH_MODES_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

enum source {
	SOURCE_POLICY, /* the handler knows: the session's policy, the reference's own image */
	SOURCE_FILE,   /* the client sends --image */
	SOURCE_MEMFD,  /* the client sends a sealed memfd with the same contents */
	SOURCE_MAP,    /* the client sends --image, and maps what all of its clients share */
};

struct run {
	struct session_options session;
	enum source source;
	const char *image_path;
	bool expect_zero;
	bool verify; /* every word after the measurement; the first word of a page is always checked
		      */
	int cpu;     /* for all threads of the client, -1 = anywhere */
	uint64_t faults;
	unsigned int clients;
	unsigned int threads;
	uint64_t length;
	unsigned int repeat;
	uint64_t writes; /* pages that a clone writes after it has touched --faults of them */
	uint64_t pace;	 /* ns between two writes of a writer, 0 = none */
	uint64_t seed;	 /* which pages the scattered mode touches, and in which order */
	bool evict;	 /* the image leaves the page cache first */
};

/* Each returns the program's exit code. */
int mode_latency(const struct run *run);
int mode_throughput(const struct run *run);
int mode_populate(const struct run *run);
int mode_scattered(const struct run *run);
int mode_idle(const struct run *run);
int mode_clones(const struct run *run);
int mode_register(const struct run *run);
int mode_writers(const struct run *run);
int mode_forked(const struct run *run);

/* Ends the program with the reason on stderr. */
_Noreturn void client_die(int error, const char *what);

#endif
