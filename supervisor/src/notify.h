/*
 * Messages of the daemon: the protocol of sd_notify(3), as far as it concerns a supervisor.
 */
#ifndef SUPERVISE_NOTIFY_H
#define SUPERVISE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NOTIFY_TEXT_MAX 4096
#define NOTIFY_FDS_MAX 253 /* the kernel's SCM_MAX_FD */

struct notification {
	pid_t sender;
	bool is_ready, is_reloading, is_stopping;
	bool is_alive;	  /* WATCHDOG=1 */
	bool wants_abort; /* WATCHDOG=trigger */
	bool is_barrier;
	bool is_store, is_remove;
	bool is_polled;	    /* unless FDPOLL=0 */
	bool lost_some;	    /* descriptors that there was no room for */
	const char *name;   /* FDNAME, if it is valid; else NULL */
	const char *status; /* or NULL */
	int error;	    /* ERRNO, or 0 */
	uint64_t extend;    /* EXTEND_TIMEOUT_USEC, or 0 */
	uint64_t watchdog;  /* WATCHDOG_USEC, or 0 */
	unsigned fd_count;
	int fds[NOTIFY_FDS_MAX]; /* owned by whoever holds this; -1: taken */
	char text[NOTIFY_TEXT_MAX + 1];
};

enum notify_outcome {
	NOTIFY_EMPTY,	/* nothing is there */
	NOTIFY_MESSAGE, /* close what you do not take */
	NOTIFY_REFUSED, /* a datagram that is of no use; it has been logged, its descriptors closed
			 */
};

/* Takes one datagram. Only main_pid (0: nobody) and its descendants are believed; descriptors of
 * others do not even enter our table. */
enum notify_outcome notify_receive(int socket, pid_t main_pid, struct notification *message);

/* Closes the descriptors that nobody has taken. */
void notify_close(struct notification *message);

#endif
