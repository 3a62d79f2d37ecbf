/*
 * session.h - the client's half of a hand-over, the same calls for the native protocol and for the
 * reference handler's.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

enum protocol {
	PROTOCOL_NATIVE,
	PROTOCOL_REFERENCE,
};

struct session {
	enum protocol protocol;
	int socket;
	int uffd;
	uint32_t next_id;
	char error[640]; /* what went wrong, after a function returned non-zero */
};

struct session_options {
	enum protocol protocol;
	const char *socket_path;
	const char *policy; /* native: of the session, "" = the tenant's default */
	bool shares;	    /* native: it will map what the manager shares */
};

/* Connects, makes a userfaultfd and hands it over. All functions here return 0 or an errno. */
int session_open(struct session *session, const struct session_options *options);

/* `image` is a descriptor whose contents from `offset` 0 serve the range, -1 = the policy's source.
 */
int session_register(struct session *session, void *start, uint64_t length, int image);

/*
 * Native only. The object that all clients of the file `image` share, its first `length` bytes: the
 * caller maps `*memfd` privately and registers the mapping.
 */
int session_map(struct session *session, uint64_t length, int image, int *memfd, uint64_t *map_id);
int session_register_mapped(struct session *session, void *start, uint64_t length, uint64_t map_id);

int session_unregister(struct session *session, void *start, uint64_t length);

/* Returns when the handler has filled the range. */
int session_populate(struct session *session, void *start, uint64_t length);

void session_close(struct session *session);

#endif
