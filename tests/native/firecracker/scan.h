/* scan.h - which pages a guest touches after its restore, in which order, and how long each took.
 */
#ifndef FIRECRACKER_SCAN_H
#define FIRECRACKER_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "guest.h"
#include "run.h"

struct scan {
	uint32_t *pages; /* in the order in which they are touched */
	uint32_t *ns;	 /* what each took */
	uint64_t count;
	uint64_t elapsed; /* ns for all */
};

/* Chooses the pages by the seed: the same ones for the same seed, whatever the order. */
void scan_create(struct scan *scan, const struct run *run, uint64_t pages);

/* Touches them with `run->threads` threads, which share them in the order. */
void scan_run(struct scan *scan, const struct run *run, struct guest *guest);

/* Looks at every byte of every page. */
void scan_everything(const struct run *run, struct guest *guest);

/* Waits for a thread, and ends the process if any thread waits too long for its page. */
void scan_join(pthread_t thread, unsigned int patience);

/* "WORD pages= us= total_us= p50_ns= p99_ns= max_ns="; `total` is `elapsed` and what came before.
 */
void scan_report(const char *word, uint32_t *ns, uint64_t count, uint64_t elapsed, uint64_t total);

#endif
