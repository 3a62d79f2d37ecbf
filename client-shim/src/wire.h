/*
 * wire.h - the connection to the manager: messages out, messages in. No libc, no allocation, and
 * all results are 0 or a negative errno. The caller serialises the use of one connection.
 */
#ifndef SHIM_WIRE_H
#define SHIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "uffd_manager/protocol.h"

/* Room for the largest message that either side sends to the other here: ERROR with its text. */
#define WIRE_MESSAGE 1024u

struct wire_message {
	union {
		struct uffdm_header header;
		unsigned char bytes[WIRE_MESSAGE];
	};
	size_t length; /* of the whole message */
	int file; /* that travels with it, -1: none. Of a received message: the receiver's to close
		   */
};

/* What a connection has learnt besides answers. */
struct wire_events {
	bool goodbye;
	uint32_t reason; /* enum uffdm_reason, with goodbye */
};

/* Connects to the socket at `path`; sends and receives give up after timeout_ms. Returns the
 * descriptor (close on exec). */
int wire_connect(const char *path, unsigned timeout_ms);
/* timeout_ms 0: wait for ever. */
void wire_set_timeout(int socket, unsigned timeout_ms);

void wire_begin(struct wire_message *message, uint16_t type, const void *body, size_t length);
void wire_add_string(struct wire_message *message, const char *text);

/*
 * Sends the message and waits for its answer, which replaces it. An ERROR answer is returned as its
 * errno. -EPIPE: the connection is at its end. `want` is the type of the answer that is taken for
 * success.
 */
int wire_request(int socket, struct wire_message *message, uint16_t want,
		 struct wire_events *events);

/* Handles one message that nobody has asked for, if there is one; never waits. Returns 1 if there
 * was one, 0 if not, -EPIPE at the end of the connection. */
int wire_unsolicited(int socket, struct wire_events *events);

struct wire_register {
	uint64_t start, length, offset;
	uint32_t flags;
	int file; /* with UFFDM_REGISTER_SOURCE_FD */
};

/* REGISTER with mode missing, under the session's policy. */
int wire_register(int socket, const struct wire_register *range, struct wire_events *events);

#endif
