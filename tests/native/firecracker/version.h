/*
 * version.h - what the releases of Firecracker do differently when they hand over a guest's memory
 * to the handler of its page faults, as far as a handler can tell.
 */
#ifndef FIRECRACKER_VERSION_H
#define FIRECRACKER_VERSION_H

#include <stdbool.h>

enum json_style {
	JSON_PLAIN,    /* no page size */
	JSON_SIZE_KIB, /* page_size_kib, which is in bytes all the same */
	JSON_BOTH,     /* page_size and page_size_kib */
	JSON_SIZE,     /* page_size */
};

struct version {
	const char *name;
	enum json_style json;
	bool user_mode_only; /* made by the system call, for faults of user mode only */
	bool remaps;	     /* the balloon maps anew (no event) and does not give up (REMOVE) */
	bool always_remove;  /* EVENT_REMOVE is on without a balloon too */
	bool keeps_socket;   /* open for the life of the guest; before, closed at once */
};

/* NULL if there is no such version. */
const struct version *version_named(const char *name);

#endif
