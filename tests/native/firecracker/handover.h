/* handover.h - the one message that Firecracker sends to the handler of its page faults. */
#ifndef FIRECRACKER_HANDOVER_H
#define FIRECRACKER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "memory.h"

#define MAX_DESCRIPTORS 253u /* the most that the kernel takes in one message */

/* Writes the message for `memory`; returns its length. `unknown` adds keys that no release has. */
size_t handover_message(char *buffer, size_t size, const struct memory *memory,
			const struct version *version, bool unknown);

/* Connects to the handler; paths may be longer than a socket address. Ends the process with
 * EXIT_WRONG if nobody listens. */
int handover_connect(const char *path);

/*
 * Sends `length` bytes with `count` descriptors, all at once if `pace` is 0, else byte by byte with
 * that many microseconds between them; the descriptors go with the first byte. Returns 0 or the
 * errno of a handler that is gone.
 */
int handover_send(int socket, const char *bytes, size_t length, const int *descriptors,
		  unsigned int count, unsigned int pace);

/*
 * All of it as the version does it: connect, send the message and the descriptors, and close the
 * socket or keep it for ever.
 */
void handover(const char *path, const struct memory *memory, const struct version *version,
	      bool unknown, unsigned int pace);

#endif
