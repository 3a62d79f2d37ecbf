/*
 * fields.h - ranges of memory under the manager, and what each of their pages must hold.
 *
 * A page holds the source's contents or zeros, and in its stamp (a few words at a place that
 * depends on the page) what was written to it last. Who changes a page makes its version odd for
 * the time, who changes where a field lies makes the field's layout odd. A reader takes no lock at
 * all: it looks at both before and after, and throws away what it has read if they changed. So
 * reads that sleep in a fault meet every kind of change of the memory below them.
 */
#ifndef SURVIVAL_FIELDS_H
#define SURVIVAL_FIELDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "link.h"
#include "random.h"

#define MAX_FIELDS 64u

enum kind {
	KIND_FILE,    /* anonymous, contents from the file */
	KIND_ZERO,    /* anonymous, the policy's zeros */
	KIND_PRIVATE, /* a private mapping of an object of MAP */
	KIND_SHARED,  /* a shared mapping of a writable one */
	KIND_HUGE,    /* hugetlb, contents from the file */
	KINDS
};

struct page {
	_Atomic uint32_t version; /* odd while somebody changes the page: also its lock */
	bool zero;		  /* zeros below the stamp, else the source */
	bool cut;		  /* a mapping of the kernel's may begin here */
	uint32_t stamp;		  /* 0: none */
};

struct field {
	unsigned int number;
	enum kind kind;
	size_t page_bytes;
	size_t pages;
	uint64_t offset;	 /* of its first byte in the source, or in the object */
	bool remove_source;	 /* what a page holds that was given up */
	bool protect;		 /* registered write-protected */
	pthread_rwlock_t lock;	 /* exclusive for those who change where it lies */
	_Atomic uint32_t layout; /* odd while that is being changed */
	unsigned char *_Atomic base;
	unsigned int slot;
	int memfd; /* of an object, else -1 */
	uint64_t map_id;
	struct page *page;
};

struct fields {
	struct link link;
	int source;
	unsigned int count;
	struct field field[MAX_FIELDS];
	unsigned char *mailbox; /* NULL: no forks */
};

extern struct fields fields;

/* Catches the faults of reads that a change of the layout has overtaken. */
void fields_catch_signals(void);

/* Reads a page and checks it. Returns false, and has checked nothing, if a change got in between.
 */
bool fields_read(struct field *field, size_t page);

/* Writes a new stamp; `check` reads it back. The caller holds the field's lock shared. */
void fields_write(struct field *field, size_t page, bool check);

/* Gives pages up. The caller holds the field's lock shared. */
void fields_remove(struct field *field, size_t first, size_t count);

/* What pages hold that have just been registered anew. The caller holds the lock exclusively. */
void fields_reset(struct field *field, size_t first, size_t count);

/* Checks every page, in an order that `seed` gives; nobody else may use the fields. */
void fields_verify(uint64_t seed, bool others_write_shared);

#endif
