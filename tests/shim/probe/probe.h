/* probe.h - what the probes have in common. */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul
#define MIB (1024ul * 1024)
#define BIG (8 * MIB)

extern int at_start_errno; /* what the program found at its start */

/* Says what was wrong and ends the process with status 1. */
_Noreturn void fail(const char *what);

/* BIG bytes of fresh memory. */
unsigned char *map_big(void);

/* Writes a number to each page and reads all back; 0 pages must have been 0. */
uint64_t use(unsigned char *base, size_t length);

/* FNV-1a. */
uint64_t digest(const unsigned char *base, size_t length);

int probe_descriptors(void);
int probe_children(void);
int probe_errno(void);
int probe_signals(void);
int probe_heap(void);
int probe_identity(void);
int probe_unshare(void);
int probe_forks(void);
int probe_no_new_code(const char *self);
int probe_drop_rights(void);
int probe_raw_fork(void);
int probe_spawn(void);
int probe_exec(const char *self, const char *depth);
int probe_thread_exec(char *self);
int probe_main_thread_ends(void);
int probe_lazy(const char *path);
int probe_halves(const char *path);
int probe_fork_later(const char *path);
int probe_outage(void);
int probe_crowd(void);

#endif
