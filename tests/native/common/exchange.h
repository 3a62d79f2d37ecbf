/* exchange.h - a request to the manager and its answer, each one packet. */
#ifndef COMMON_EXCHANGE_H
#define COMMON_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "uffd_manager/protocol.h"

struct request {
	struct uffdm_header header;
	union {
		struct uffdm_hello hello;
		struct uffdm_register reg;
		struct uffdm_range range;
		struct uffdm_map map;
		struct uffdm_write_protect protect;
	} body;
	char strings[256];
	size_t length;
	int descriptor;	 /* goes with it, or -1 */
	uint16_t answer; /* the type that answers it */
};

struct answer {
	union {
		struct uffdm_header header;
		char bytes[4096];
	};
	size_t length;
	int descriptor;
};

/*
 * Completes a request whose fixed body and descriptor are set: `fixed` is the length of that body,
 * `strings` (NULL: none) ends with NULL.
 */
void request_prepare(struct request *request, uint16_t type, size_t fixed, uint16_t answer,
		     const char *const *strings);

/* Sends and awaits the answer, which may be an ERROR; false when the connection is broken. */
bool exchange(struct link *link, struct request *request, struct answer *answer);

/* Asks until it is answered, over as many connections as it takes (link.c): every request of ours
 * may be carried out twice without harm. */
void link_call(struct link *link, struct request *request, struct answer *answer);

/* The body of an answer, of which `length` bytes must be there. */
const void *answer_body(const struct answer *answer, size_t length);

/* What an ERROR says; NULL if the answer is none. */
const struct uffdm_error *answer_error(const struct answer *answer);

/* Ends the program with what an ERROR says. */
_Noreturn void answer_refused(const struct answer *answer, const char *what);

#endif
