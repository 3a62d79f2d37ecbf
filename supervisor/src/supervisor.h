/*
 * What the parts of the supervisor share: its state, and what can happen to it. daemon.c starts and
 * ends the daemon, messages.c hears it, supervise.c runs the loop.
 */
#ifndef SUPERVISE_SUPERVISOR_H
#define SUPERVISE_SUPERVISOR_H

#include <signal.h>
#include "clock.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "sockets.h"
#include "spawn.h"
#include "store.h"

enum state {
	STARTING, /* runs, and has not said READY=1 */
	RUNNING,
	ENDING,	   /* has been told to end, or has said STOPPING=1 */
	WAITING,   /* is not there; the next one starts at the deadline */
	HOLDING,   /* given up, and everything is kept until a signal comes */
	RELEASING, /* given up, but userfaultfds of processes that nobody can end are left */
	OVER,
};

enum wish { NO_WISH, RESTART, STOP };

struct supervisor {
	const struct options *options;
	struct store store;
	struct spawn spawn;
	int listeners[MAX_LISTEN];
	struct socket_file listener_files[MAX_LISTEN];
	struct socket_file notify_file;
	char notify_address[128];
	int epoll, signals, notify;

	enum state state;
	enum wish wish;
	uint64_t deadline; /* of the state; 0: none */
	pid_t pid;	   /* 0: there is no daemon */
	int exec_report;
	uint64_t started;
	uint64_t watchdog; /* 0: off */
	uint64_t watchdog_deadline;
	uint64_t looked_at; /* when that was last compared with the clock; 0: not yet */
	unsigned failures;  /* unexpected ends in a row */
	bool has_run;	    /* exec has succeeded once */
	bool is_aborting;   /* SIGABRT has been sent: no other signal helps */
	bool is_killed;	    /* SIGKILL has been sent */
	unsigned pending_hups, pending_usr1s;
	char status[160];
	int exit_code;
	struct notification message;
};

/* ---- daemon.c ---- */

/* Starts it, with everything that is kept. */
void daemon_start(struct supervisor *self);

/* Somebody wants the end, or a successor: why is the signal's name. */
void daemon_stop(struct supervisor *self, const char *why);
void daemon_restart(struct supervisor *self);

/* SIGABRT, and SIGKILL when that does not help. */
void daemon_abort(struct supervisor *self, const char *why);

void daemon_signal(struct supervisor *self, int number);

/* The process has said so. */
void daemon_is_ready(struct supervisor *self);
void daemon_is_stopping(struct supervisor *self);

/* The process has ended and is reaped. */
void daemon_ended(struct supervisor *self, const siginfo_t *end);

/* The deadline of the state has passed. */
void daemon_deadline(struct supervisor *self);

/* ---- messages.c ---- */

/* More than any queue of a datagram socket holds. */
#define MESSAGES_QUEUED 65536

/* Takes up to so many messages. */
void messages_hear(struct supervisor *self, unsigned most);

#endif
