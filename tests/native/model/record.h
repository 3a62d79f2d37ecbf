/*
 * record.h - what the workers have done since a moment, in an order that is known as far as it can
 * be: each event says how far the other workers had come when it began.
 *
 * A state of the memory is a number of events for each worker. It is one that existed (a consistent
 * cut) if no event of it has seen an event that is not in it.
 */
#ifndef MODEL_RECORD_H
#define MODEL_RECORD_H

#include "model.h"

enum event_kind {
	EVENT_WRITE,  /* `value` into a slot of a page */
	EVENT_REMOVE, /* a page was given up */
	EVENT_GONE,   /* pages are unmapped */
	EVENT_PLACE,  /* pages are there anew, at `value` */
	EVENT_MOVE    /* pages have moved to `value` */
};

struct event {
	uint8_t kind;
	uint8_t slot;
	uint16_t region;
	uint32_t first;
	uint32_t count;
	uint64_t value;
	uint64_t seen[MAX_WORKERS]; /* events of each that were done */
};

/* Of one worker. */
struct record {
	_Atomic uint64_t done; /* events that have taken place since the start of the program */
	uint64_t sequence;     /* events that have begun */
	uint64_t base;	       /* `sequence` when the record began */
	uint64_t count;	       /* events in it */
	struct event *event;   /* event base + 1 is the first */
	bool open;
};

extern struct record record[MAX_WORKERS];

void record_create(void);

/* Begins to record, with a copy of the worker's pages; by the worker itself. */
void record_open(unsigned int worker);

/* True while there is room for `events` more, and while nothing is recorded at all. */
bool record_has_room(unsigned int worker, unsigned int events);

/* Before something is done: the number of the event. What it does to the model is up to the
 * caller. */
uint64_t record_begin(unsigned int worker, struct event event);

/* After it is done: everything that has begun. */
void record_end(unsigned int worker);

/* What an event does to a page that it is about. */
void record_apply(const struct event *event, const struct region *region, size_t page,
		  struct page *state);

#endif
