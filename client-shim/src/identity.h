/*
 * identity.h - the agent must not keep rights that its program has given up: whoever takes over the
 * program can write to the agent's stack, as they share memory.
 */
#ifndef SHIM_IDENTITY_H
#define SHIM_IDENTITY_H

#include <stdbool.h>

/* Whether the calling task has anything to lose: user id 0 or a capability. */
bool identity_is_privileged(void);

/*
 * Gives up in the calling task what the program has given up for good: user and group ids when the
 * program can no longer return to them, and capabilities. `proc` is a descriptor of /proc. Each
 * task of the agent has to do it for itself. Chroots, namespaces and seccomp filters are not
 * followed.
 */
void identity_follow(int proc, int program);

#endif
