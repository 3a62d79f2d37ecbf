/*
 * link.h - the connection to the manager. It is made anew whenever it breaks, resumes the session,
 * and asks again what was not answered: the caller notices nothing but the time.
 */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct link {
	pthread_mutex_t lock; /* one request at a time */
	const char *path;
	const char *policy;
	const char *label;
	unsigned int patience; /* seconds that a manager may be away */
	bool keeper;	       /* keeps a duplicate of the userfaultfd */
	int socket;
	int uffd; /* -1 after the hand-over without a keeper */
	uint64_t session;
	uint64_t token;
	uint64_t features;
	uint32_t next_id;
};

/* What a range contains. */
struct link_range {
	uint64_t start;
	uint64_t length;
	uint32_t modes;
	uint32_t flags;
	uint64_t offset;
	uint64_t map_id;
	int source;	    /* a descriptor for SOURCE_FD, else -1 */
	const char *policy; /* NULL: the session's */
	const char *path;   /* a file or image that the manager opens, else NULL */
};

/* Makes a userfaultfd and hands it over. All of these end the process on failure. */
void link_open(struct link *link);

/* A forked child's session, by the word in its mailbox; `link` has path, patience and keeper. */
void link_open_child(struct link *link, uint64_t mailbox);

/* False when what is mapped there has to be mapped anew first (EAGAIN). */
bool link_register(struct link *link, const struct link_range *range);

/* Registers a page at an address of its own in which forked children find their tokens; where it
 * is. */
void *link_map_mailbox(struct link *link, void *at);

/* An object of `length` bytes of the file `source`, or of `path` if that is not NULL, shared by
 * `name` and writable if `name` is not empty; its descriptor. */
int link_map(struct link *link, uint64_t length, int source, const char *path, const char *name,
	     uint64_t *map_id);

void link_unregister(struct link *link, uint64_t start, uint64_t length);
void link_prefetch(struct link *link, uint64_t start, uint64_t length);
void link_protect(struct link *link, uint64_t start, uint64_t length);
void link_status(struct link *link);

/* Ends the connection; the session goes on. */
void link_close(struct link *link);

/* For a forked child: closes what it has of its parent's connection and userfaultfd. */
void link_disown(struct link *link);

#endif
