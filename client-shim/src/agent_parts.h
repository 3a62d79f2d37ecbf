/*
 * agent_parts.h - what the files of the agent share among themselves. See agent.h for what the
 * agent is.
 *
 *   agent.c           its start and its end; the leader
 *   agent_program.c   whether the program is alive, and what rights it has
 *   agent_link.c      the connection, and how it is made again
 *   agent_ringer.c    the hooks' requests
 */
#ifndef SHIM_AGENT_PARTS_H
#define SHIM_AGENT_PARTS_H

#include "area.h"
#include "session.h"

/* The agent's descriptor table, from the moment it serves. */
enum { AGENT_SOCKET, AGENT_UFFD, AGENT_PROC, AGENT_FIRST_FREE };

/* How often a task looks by itself where nothing would wake it. */
#define WATCH_MS 1000u

/* Of the agent alone; a forked child's copy is meaningless until it starts its own. */
struct agent {
	int program; /* pid */
	int program_fd;
	struct shim_session session;
	bool adopting; /* the manager has the userfaultfd, but was not told all of its ranges */
};
extern struct agent agent;

static inline struct shim_control *control(void)
{
	return &shim_area->control;
}

static inline uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline _Noreturn void quit(void)
{
	for (;;)
		sys1(SYS_exit_group, 0);
}

/* ---- agent_program.c ---- */

/* The word of the mutex that the program's main thread never releases: the kernel marks it with
 * FUTEX_OWNER_DIED, and wakes who waits for it. */
uint32_t *program_word(void);
/* By the program's main thread, before there is an agent. */
void program_hold_word(void);
/* Ends the agent if the program is gone or has executed another one. */
void program_check(void);
/* Gives up what the program has given up. Returns whether there is something left that the program
 * may give up yet, so that the calling task has to look from time to time. */
bool program_follow_rights(void);

/* ---- agent_link.c ---- */

/* The connection belongs to who holds the lock. */
void link_lock(void);
/* False: not within so many milliseconds. */
bool link_lock_within(unsigned timeout_ms);
void link_unlock(void);
/* With the lock held: what the manager has said besides its answers. Ends the agent if there is
 * nothing left to do for it. */
void link_note(const struct wire_events *events);
/* With the lock held: the connection is at its end. The leader finds the next one. */
void link_lost(void);
/* The leader, with the lock held: returns with a new connection, whose manager knows all. */
void link_renew(void);
/* Without the lock: whether the connection is there again within the time. */
bool link_await(unsigned timeout_ms);

/* ---- agent_ringer.c ---- */

/* Starts the ringer as a second task of the calling process. Returns 0 or a negative errno. */
int ringer_start(void);

#endif
