/* attempt.h - a hand-over that cannot be served, while it is put together. */
#ifndef FIRECRACKER_ATTEMPT_H
#define FIRECRACKER_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "guest.h"
#include "handover.h"
#include "run.h"

#define ENDLESS (8ul << 20)

struct attempt {
	const struct run *run;
	struct guest guest;
	char *text; /* what is sent; by default the message of a guest that behaves */
	size_t length;
	int descriptors[MAX_DESCRIPTORS];
	unsigned int count;
	int socket;
	size_t first; /* how much of the text is sent at first, 0 = all */
	bool leaves;  /* closes the socket after it */
	bool untaken; /* what was sent does not have these ranges: touching them proves nothing */
	bool late;    /* the descriptors come after the first byte */
};

/* A way to be hostile: it changes the message of a guest that behaves. */
struct hostile_kind {
	const char *name; /* NULL behind the last */
	void (*prepare)(struct attempt *attempt);
};

extern const struct hostile_kind hostile_descriptors[];
extern const struct hostile_kind hostile_texts[];

/* The text of a guest whose memory is as the attempt's guest says by now. */
void attempt_retell(struct attempt *attempt);

/* One descriptor instead of all, and one more. A negative one ends the process with EXIT_SETUP. */
void attempt_send_only(struct attempt *attempt, int descriptor);
void attempt_add(struct attempt *attempt, int descriptor);

#endif
