/*
 * reference.h - how a client talks to the reference handler: one packet each way, no versions, no
 * checks. Both ends are built from this directory at the same time.
 */
#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H

#include <stdint.h>

enum reference_command {
	REFERENCE_ATTACH = 1,	  /* carries the userfaultfd; the handler calls UFFDIO_API */
	REFERENCE_REGISTER = 2,	  /* start, length: the one range of this client */
	REFERENCE_POPULATE = 3,	  /* fills start, length before it answers */
	REFERENCE_UNREGISTER = 4, /* start, length */
};

struct reference_request {
	uint64_t command;
	uint64_t start;
	uint64_t length;
};

struct reference_reply {
	int64_t error; /* errno, 0 = done */
};

#endif
