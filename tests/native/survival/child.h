/* child.h - what a forked child does with what it has inherited. */
#ifndef SURVIVAL_CHILD_H
#define SURVIVAL_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Forks. Nobody may change a field meanwhile; who only reads goes on. The child verifies all that
 * it inherited, changes some of it, sometimes has a child of its own, and exits. Returns in the
 * parent, who awaits it by fork_await.
 */
pid_t child_fork(uint64_t seed, unsigned int depth);

#endif
