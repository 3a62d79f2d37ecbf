/* stand_in.h - what the stand-in knows: address spaces with their regions, and connections. */
#ifndef STAND_IN_H
#define STAND_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uffd_manager/protocol.h"

#define MAX_SPACES 1024
#define MAX_CONNECTIONS 1024
#define PAGE 4096ull

struct region {
	uint64_t start, end, offset;
	int file; /* -1: zeros */
	bool mailbox;
};

struct space {
	int uffd; /* 0: unused slot */
	uint64_t token;
	uint64_t features;
	bool adopting;
	size_t count, room;
	struct region *regions;
};

struct connection {
	int socket; /* 0: unused slot */
	int peer;   /* the process at its other end */
	struct space *space;
};

struct counters {
	unsigned long sessions, registers, faults, lazy_faults, forks, bound, adopted, resumed;
	unsigned long refused;
};

extern struct space spaces[MAX_SPACES];
extern struct connection connections[MAX_CONNECTIONS];
extern struct counters counters;
extern uint64_t next_token;
extern uint64_t allowed_features;
extern const char *mishap; /* main.c; "" once it has happened */

/* Ends the program with errno. */
_Noreturn void die(const char *what);

/* ---- spaces.c ---- */

/* Takes the userfaultfd. */
struct space *new_space(int uffd);

/* Takes the region's file. */
void add_region(struct space *space, struct region region);

/* Forgets a range. */
void cut(struct space *space, uint64_t start, uint64_t end);

/* Reads all events and faults, and serves them. */
void serve_uffd(struct space *space);

/* Frees the spaces whose processes are gone. */
void collect_dead(void);

/* ---- requests.c ---- */

/* Receives one request and answers it, or closes the connection. */
void serve_connection(struct connection *c);

/* Sends a GOODBYE, or a message of a type that has no body, to every session. */
void say_to_all(uint16_t type);

#endif
