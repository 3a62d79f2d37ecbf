/* load.h - memory under a session of its own, which a mode loads with faults. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"
#include "modes.h"
#include "session.h"

/* A range of fresh memory under a session of its own. */
struct load {
	struct session session;
	char *memory;
	uint64_t length;
	int image; /* descriptor sent along, or -1 */
};

/* Maps, opens the session and registers; what fails ends the program. */
void load_open(struct load *load, const struct run *run, uint64_t length);
void load_close(struct load *load);

/* Ends the program with what the session says if `error` is not 0. */
void load_check(const struct load *load, int error);

/* Looks at every word, if the run wants it. */
void load_verify(const struct load *load, const struct run *run);

/* Exchanges the numbers into an order that no read-ahead guesses. */
void load_shuffle(uint32_t *order, uint64_t count, uint64_t state);

/* Pages first .. first + count - 1 in such an order, the same in every run. The caller frees it. */
uint32_t *load_order(uint64_t first, uint64_t count);

/* Touches one page: the fault, then the check of its first word. */
static inline void load_touch(const struct load *load, uint64_t page, bool zero)
{
	uint64_t offset = page * BENCH_PAGE;
	uint64_t word = *(volatile uint64_t *)(void *)(load->memory + offset);

	if (word != (zero ? 0 : image_word(offset)))
		client_die(0, "a page has wrong contents");
}

#endif
