/*
 * session.h - how a session begins: for a new program, for a forked child, and again after the
 * manager was away.
 */
#ifndef SHIM_SESSION_H
#define SHIM_SESSION_H

#include <stdint.h>
#include "wire.h"

struct shim_session {
	int socket;
	int uffd;
	uint64_t id;
	uint64_t resume_token;
	bool follows_forks; /* the manager hears of forks: children are served as well */
	const char *failed; /* the step that failed, a constant string */
};

/*
 * All three: 0, or a negative errno with session->failed set and nothing left open but what was
 * open before. On success the caller owns socket and uffd. The program itself must call the first
 * two, as the manager takes the peer of the socket for the session's process; resume is the
 * agent's.
 */
int session_start(struct shim_session *session);
int session_start_child(struct shim_session *session, uint64_t token);
/* Keeps session->uffd, replaces the rest. *known says that the manager had the session still. */
int session_resume(struct shim_session *session, bool *known);

#endif
