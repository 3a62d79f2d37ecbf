/* The life of the daemon: one loop over notifications, signals and deadlines. */
#ifndef SUPERVISE_SUPERVISE_H
#define SUPERVISE_SUPERVISE_H

#include <signal.h>
#include "options.h"

/* Returns the exit code of the supervisor. */
int supervise(const struct options *options);

#endif
