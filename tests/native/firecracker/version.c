#include "version.h"

#include <stddef.h>
#include <string.h>

/* Columns: name, message, user_mode_only, remaps, always_remove, keeps_socket. */
static const struct version versions[] = {
	{"1.1", JSON_PLAIN, true, true, false, false},
	{"1.2", JSON_PLAIN, true, true, false, false},
	{"1.3", JSON_PLAIN, true, true, false, false},
	{"1.4", JSON_PLAIN, true, true, false, false},
	{"1.5", JSON_PLAIN, false, true, false, false},
	{"1.6", JSON_PLAIN, false, true, false, false},
	{"1.7", JSON_SIZE_KIB, false, true, false, false},
	{"1.8", JSON_SIZE_KIB, false, true, false, false},
	{"1.9", JSON_SIZE_KIB, false, true, false, false},
	{"1.10", JSON_SIZE_KIB, false, true, false, false},
	{"1.11", JSON_SIZE_KIB, false, false, false, false},
	{"1.12", JSON_BOTH, false, false, true, true},
	{"1.13", JSON_BOTH, false, false, true, true},
	{"1.14", JSON_BOTH, false, false, true, true},
	{"2.0", JSON_SIZE, false, false, true, true},
};

const struct version *version_named(const char *name)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(versions[i].name, name) == 0)
			return &versions[i];
	return NULL;
}
