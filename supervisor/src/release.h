/*
 * Letting go of the store, fail closed: the last close of a userfaultfd gives zeros to whoever
 * waits for a page, so the processes are ended first.
 */
#ifndef SUPERVISE_RELEASE_H
#define SUPERVISE_RELEASE_H

#include "store.h"

/* Kills with SIGKILL, by the pidfds, the processes of all sessions (names that hold a userfaultfd),
 * and closes everything but the userfaultfds of live processes that could not be killed. The number
 * of those. */
unsigned release_store(struct store *store);

/* Closes what release_store has left if its processes have ended since. The number that still
 * lives. */
unsigned release_ended(struct store *store);

/* Closes what is left, whatever follows, and says so. */
void release_all(struct store *store);

#endif
