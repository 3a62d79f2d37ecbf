/*
 * model.h - memory under the manager, and the model of what each of its pages must contain.
 *
 * Every page belongs to one worker, who alone reads it, writes to it, gives it up and moves it. So
 * the model of a page is plain memory of that worker's, what a page must contain is known at every
 * moment, and what a worker does is a function of the seed alone.
 *
 * A page contains its source's contents or zeros, and over them in four words (its slots) what was
 * written last. Each store is one event of its worker, and the value tells which.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "link.h"
#include "random.h"

#define PAGE_WORDS (BASE_PAGE / 8)
#define MAX_REGIONS 32u
#define MAX_WORKERS 4u
#define SLOTS 4u
/* The owner of a region whose pages belong to the workers in turn. */
#define EVERYBODY MAX_WORKERS

enum kind {
	KIND_ANONYMOUS, /* private anonymous memory */
	KIND_PRIVATE,	/* a private mapping of an object of MAP */
	KIND_SHARED,	/* a shared mapping of a writable one */
	KIND_HUGE,	/* private hugetlb memory */
	KINDS
};

struct page {
	unsigned char *at;	/* NULL while nothing is registered there */
	uint64_t slot[SLOTS];	/* 0: nothing written */
	bool zero;		/* zeros below the slots, else the source */
	bool cut;		/* a mapping of the kernel's may begin here */
	_Atomic uint8_t change; /* CHANGE_... of track.h */
};

/* What a region is, as the command line says. */
struct shape {
	enum kind kind;
	size_t pages;
	uint64_t offset;     /* of its first byte in the source */
	bool remove_source;  /* what a page contains that was given up */
	bool protect;	     /* registered for write protection by the client itself */
	unsigned int owner;  /* a worker, or EVERYBODY */
	const char *policy;  /* "": the session's */
	const char *file;    /* handed over as a descriptor, or NULL */
	const char *name;    /* told to the manager by name, or NULL */
	const char *expects; /* a file with the same contents, or NULL for zeros */
};

struct region {
	struct shape shape;
	unsigned int number;
	size_t page_bytes;
	int file;
	int memfd; /* of an object, else -1 */
	uint64_t map_id;
	const uint64_t *source; /* what the source has for the first page; NULL: zeros */
	unsigned char *base;
	unsigned int place;
	struct page *page;
	struct page *before; /* the pages when the record began */
};

/* What a worker may do at the moment. */
enum {
	MAY_MOVE = 1,	/* unmap, move, fork */
	MAY_REMOVE = 2, /* give pages up */
	MAY_ALL = 3
};

struct model {
	struct link link;
	unsigned char *mailbox; /* NULL: nobody forks */
	uint64_t seed;
	unsigned int workers;
	unsigned int regions;
	struct region region[MAX_REGIONS];
};

extern struct model model;

static inline unsigned int owner_of(const struct region *region, size_t page)
{
	return region->shape.owner == EVERYBODY ? (unsigned int)(page % model.workers)
						: region->shape.owner;
}

static inline size_t bytes_of(const struct region *region)
{
	return region->shape.pages * region->page_bytes;
}

#endif
