/* forks.h - forked children of a program that is watched (watch.h). */
#ifndef COMMON_FORKS_H
#define COMMON_FORKS_H

#include <stdint.h>
#include <sys/types.h>

/* fork(2), of which a failure ends the program. The child uses the next slots of the watch, and
 * dies with the thread that has made it. */
pid_t fork_watched(void);

/* A child's token. Without a manager its mailbox reads as zero, and so would everything else: then
 * nothing is to be believed, and the child ends as one that nobody has taken. */
uint64_t fork_read_mailbox(const unsigned char *mailbox);

/* Awaits a child and says what became of it; wrong bytes end this process too. */
void fork_await(pid_t pid);

#endif
