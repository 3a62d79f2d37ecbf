#ifndef SHIM_CONFIG_H
#define SHIM_CONFIG_H

#include "area.h"

/*
 * UFFD_MANAGER_SOCKET    path of the manager's socket (default: that of the package)
 * UFFD_MANAGER_POLICY    policy to ask for (default: the tenant's)
 * UFFD_MANAGER_MIN       smallest anonymous mapping to manage, bytes or with K, M, G (default 1M)
 * UFFD_MANAGER_LAZY      directories, separated by colons, whose files are mapped lazily
 * UFFD_MANAGER_REQUIRE   1: a program that cannot be managed ends with 125
 * UFFD_MANAGER_VERBOSE   1: say on standard error what was done
 *
 * Read with secure_getenv(3). Returns NULL, or what is wrong with the environment.
 */
const char *config_read(struct shim_config *config);

/* "4096", "512K", "1M", "2G"; false if it is nothing like that. */
bool config_parse_size(const char *text, uint64_t *size);

#endif
