#ifndef SHIM_FORK_H
#define SHIM_FORK_H

/* In the child of a fork, before anybody else runs: gives it a session and an agent of its own. */
void fork_child(void);

#endif
