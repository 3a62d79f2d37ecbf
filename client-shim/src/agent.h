/*
 * agent.h - the process beside the program that owns the connection and the userfaultfd.
 *
 * It shares the program's memory (CLONE_VM) and nothing else: its descriptor table is its own, so
 * the program's numbering stays as it was; it is in a session of its own, blocks all signals and
 * sends none when it ends, so neither wait(2) nor the terminal shows it. It is not a thread,
 * because a program with two threads may not unshare a user namespace, warns in fork (Python) and
 * is stopped as a whole by a debugger. It has two tasks:
 *
 *   leader   watches the program (pidfd) and the connection (poll); finds the manager again
 *   ringer   sleeps on the bell, a futex, and serves the hooks' requests
 *
 * The connection belongs to who holds control->lock.
 */
#ifndef SHIM_AGENT_H
#define SHIM_AGENT_H

#include "session.h"

/*
 * Starts the agent with copies of the session's descriptors; the caller closes its own afterwards
 * whatever the result. Returns when the agent serves and has closed all that it had inherited, or
 * with a negative errno and no agent. All signals must be blocked.
 */
int agent_start(const struct shim_session *session);

/*
 * At the end of the program: ends the agent and takes its exit status away, so that no orphan of a
 * program that ends in order is left to init, and its memory goes with it. Gives up after a moment;
 * the agent sees the program's death by itself.
 */
void agent_stop(void);

/* Whether this address space has an agent that is alive. */
bool agent_is_alive(void);

#endif
