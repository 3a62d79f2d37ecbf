/* The command line. Texts point into argv. */
#ifndef SUPERVISE_OPTIONS_H
#define SUPERVISE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_LISTEN 32

struct listen_option {
	char *name;
	char *path; /* "@name" is an abstract one */
	int type;   /* SOCK_SEQPACKET or SOCK_STREAM */
	mode_t mode;
	gid_t group; /* -1: leave it */
};

struct options {
	char **command;		/* NULL-terminated, at least one */
	uint64_t watchdog;	/* microseconds, as all times; 0: none */
	uint64_t start_timeout; /* 0: none */
	uint64_t stop_timeout;
	uint64_t abort_timeout;
	uint64_t backoff_max; /* 0: always at once */
	uint64_t stable;
	unsigned store_max;
	bool no_restart_on[256];
	bool keep_on_give_up;
	bool subreaper;
	const char *ready_file;	   /* or NULL */
	const char *notify_socket; /* or NULL: an abstract one with a random name */
	struct listen_option listen[MAX_LISTEN];
	unsigned listen_count;
};

/* Exits with 0 for --help and --version, with EX_USAGE and the reason for what is wrong. */
struct options options_parse(int count, char **arguments);

#endif
