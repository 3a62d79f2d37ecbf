/* modes.h - what the client can be asked to do; each returns an exit code. */
#ifndef SURVIVAL_MODES_H
#define SURVIVAL_MODES_H

#include <stdbool.h>
#include <stdint.h>

struct run {
	const char *socket;
	const char *policy;
	const char *source; /* path, or NULL */
	const char *kinds;  /* letters of main.c's usage, one for each field in turn */
	const char *remove; /* zero, source or both */
	unsigned int threads;
	unsigned int fields;
	unsigned int pages;
	unsigned int seconds; /* 0: until SIGTERM */
	unsigned int patience;
	unsigned int pace;	    /* microseconds between two operations of a thread */
	unsigned int fork_interval; /* milliseconds between two forks; 0: none */
	unsigned int count;
	unsigned int parallel;
	uint64_t seed;
	bool keeper;
	bool protect;
};

int mode_load(const struct run *run);
int mode_sessions(const struct run *run);
int mode_crowd(const struct run *run);

#endif
