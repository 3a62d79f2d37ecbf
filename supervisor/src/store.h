/*
 * The descriptor store: descriptors with names, in the order in which they came. All memory is
 * taken at start. The rules are systemd's: an open file description is kept once, whatever the
 * names; a descriptor that is polled leaves when it reports an error or a hang-up.
 */
#ifndef SUPERVISE_STORE_H
#define SUPERVISE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX 255
/* Of --store-max. The kernel's own limit of descriptors is in the same region (fs.nr_open). */
#define STORE_LIMIT 500000

struct stored {
	int fd;
	bool is_polled;
	bool is_killed; /* a pidfd, whose process has been sent SIGKILL */
	uint64_t id;
	char name[STORE_NAME_MAX + 1];
};

struct store {
	struct stored *entries;
	unsigned count;
	unsigned max;
	/* The descriptors again, ordered by the kernel's order of open file descriptions. */
	int *by_file;
	/* What LISTEN_FDNAMES takes, and may take. */
	size_t name_bytes;
	size_t name_bytes_max;
	uint64_t last_id;
	int epoll;
};

enum store_outcome { STORE_ADDED, STORE_DUPLICATE, STORE_FULL, STORE_NAMES_FULL };

/* As sd_pid_notify_with_fds(3) wants it: 1 to 255 printable ASCII characters, no colon. */
bool store_name_is_valid(const char *name);

/* Polled descriptors are watched by this epoll instance, with their id as data. */
bool store_open(struct store *store, unsigned max, size_t name_bytes_max, int epoll);

/* Owns fd from then on, whatever the outcome. same_as: the name that a duplicate has already. */
enum store_outcome store_add(struct store *store, const char *name, int fd, bool poll,
			     const char **same_as);

/* How many went. */
unsigned store_remove(struct store *store, const char *name);

/* The one that epoll has reported; its name, or NULL if it is gone already. */
bool store_remove_id(struct store *store, uint64_t id, char *name);

/* Removes the entries for which the predicate holds. */
unsigned store_remove_if(struct store *store, bool (*predicate)(const struct stored *, void *),
			 void *context);

#endif
