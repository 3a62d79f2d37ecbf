/*
 * Starting the daemon: descriptors from 3 on, with names, and the environment that goes with them.
 * Everything is prepared in memory that was taken at start; between fork and exec only calls are
 * made that are allowed there.
 */
#ifndef SUPERVISE_SPAWN_H
#define SUPERVISE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPAWN_FIRST_FD 3

struct spawn {
	char **command;
	char **environment; /* of ours and, behind that, what is set for the daemon */
	unsigned inherited; /* how many entries are of ours */
	int *fds;	    /* what is passed, in order */
	int *wanted;	    /* per descriptor number: the place in fds that needs it, or -1 */
	unsigned max;
	unsigned count;
	char *names; /* "LISTEN_FDNAMES=..." */
	size_t names_size;
	size_t names_length;
	char notify_socket[160];
	char watchdog[48];
	char store_max[32];
};

/* The room that LISTEN_FDNAMES has for names with a separator each: the kernel refuses longer
 * strings. */
size_t spawn_name_bytes(void);

/* told: what the daemon is told of the store's size (FDSTORE). */
bool spawn_open(struct spawn *spawn, char **command, unsigned max_fds, const char *notify_socket,
		unsigned told);

/* The list of what the next daemon gets. */
void spawn_clear(struct spawn *spawn);
void spawn_add(struct spawn *spawn, int fd, const char *name);

/* Returns the pid, or -1 with errno. report: a descriptor from which the errno of a failed exec can
 * be read (an int) when the process has ended; nothing comes if exec succeeded. */
pid_t spawn_run(struct spawn *spawn, uint64_t watchdog, int *report);

#endif
