/* work.h - the workers, what they remember of their last operations, and how they are directed. */
#ifndef MODEL_WORK_H
#define MODEL_WORK_H

#include <pthread.h>

#include "model.h"

#define REMEMBERED 24u

/* For the report of a failure. */
struct operation {
	const char *what;
	unsigned int region;
	size_t first;
	size_t count;
	uint64_t event;
	int64_t at; /* CLOCK_MONOTONIC, ns */
};

struct worker {
	pthread_t thread;
	unsigned int number;
	uint64_t random;
	uint64_t operations;
	_Atomic uint64_t seen; /* the last order that it has followed */
	struct operation last[REMEMBERED];
	uint64_t remembered;
};

/* What all workers are told to do at the end of the operation that each is in. */
struct order {
	unsigned int may; /* MAY_... */
	bool record;	  /* begin to record; false ends it */
};

extern struct worker worker[MAX_WORKERS];

/* Remembers what comes next. */
void work_note(struct worker *own, const char *what, const struct region *region, size_t first,
	       size_t count);

void work_start(unsigned int pace);

/* Gives an order and waits until every worker has followed it; how long it may take is up to
 * `patience` seconds. */
void work_order(const struct order *order, unsigned int patience);

/* Has all of them wait between two operations until work_resume. */
void work_pause(unsigned int patience);
void work_resume(void);

/* Ends them. */
void work_stop(unsigned int patience);

/* The last operations of each, on stdout. */
void work_report(void);

/* move.c: changes where pages of a region of the worker's own lie. */
void move_something(struct worker *own, struct region *region);

/* child.c: a forked child that checks the worker's pages, changes its own, and checks again. */
void child_run(struct worker *own);

/* What child.c does like a worker. */
void work_write(struct worker *own, struct region *region, size_t page);
void work_remove(struct worker *own, struct region *region, size_t first, size_t count);

#endif
