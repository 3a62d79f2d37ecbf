/*
 * A page's state is one word: what it holds (2 bits), what is being done to it (2 bits), and a
 * generation (28 bits) that counts what was done. Who changes a page claims it by setting the
 * middle bits. Readers claim nothing, so that they race with the changes as vCPUs do with a
 * balloon: they look at the state before and after they have read. If it is the same, every word
 * must be the old or, while a change is under way, the new one; if it is not, they read again.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bench/image.h"
#include "report.h"

#define MAX_TRIES 16u /* of a read whose page is always changed meanwhile */

enum {
	HOLDS_IMAGE = 0,
	HOLDS_ZERO = 1,
	HOLDS_WRITTEN = 2,
	HOLDS_MASK = 3,
	IS_REMOVED = 1 << 2, /* now */
	IS_WRITTEN = 2 << 2, /* now */
	CHANGE_MASK = 3 << 2,
	GENERATION = 1 << 4,
};

static uint32_t next_state(uint32_t state)
{
	uint32_t holds = (state & CHANGE_MASK) == IS_REMOVED ? HOLDS_ZERO : HOLDS_WRITTEN;

	return ((state & ~(uint32_t)(HOLDS_MASK | CHANGE_MASK)) + GENERATION) | holds;
}

static uint64_t word_of(const struct guest *guest, uint64_t page, uint32_t state, uint64_t i)
{
	switch (state & HOLDS_MASK) {
	case HOLDS_IMAGE:
		if (!guest->image)
			return image_word(page * guest->memory.page_size + i * 8);
		return ((const uint64_t *)(guest->image + page * guest->memory.page_size))[i];
	case HOLDS_WRITTEN:
		return ((page << 32) + (state / GENERATION) * 0x10001ull + i) *
			       0xd6e8feb86659fd93ull |
		       1;
	default:
		return 0;
	}
}

static void map_image(struct guest *guest, const char *path, bool pattern)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0)
		report_setup(errno, "%s", path);
	if ((uint64_t)status.st_size < guest->memory.length)
		report_setup(0, "%s has %ld bytes, the guest %lu", path, (long)status.st_size,
			     guest->memory.length);
	if (pattern) {
		close(fd);
		return;
	}
	guest->image = mmap(NULL, guest->memory.length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (guest->image == MAP_FAILED)
		report_setup(errno, "mmap of %s", path);
	close(fd);
}

void guest_create(struct guest *guest, const struct memory_options *options, const char *image,
		  bool pattern)
{
	memory_create(&guest->memory, options);
	map_image(guest, image, pattern);
	guest->pages = guest->memory.length / guest->memory.page_size;
	guest->hotplug_start = options->length / guest->memory.page_size;
	guest->slot_pages = options->hotplug / HOTPLUG_SLOTS / guest->memory.page_size;
	guest->states = calloc(guest->pages, sizeof(*guest->states));
	if (!guest->states)
		report_setup(errno, "calloc");
	for (unsigned int i = 0; i < HOTPLUG_SLOTS; i++) {
		pthread_rwlock_init(&guest->slot_locks[i], NULL);
		guest->plugged[i] = i % 2 == 0;
	}
}

/* Which slot a page is in; HOTPLUG_SLOTS if it is ordinary memory. */
static unsigned int slot_of(const struct guest *guest, uint64_t page)
{
	if (page < guest->hotplug_start)
		return HOTPLUG_SLOTS;
	return (unsigned int)((page - guest->hotplug_start) / guest->slot_pages);
}

/* Whether the page may be touched; until unuse() it stays so. */
static bool use(struct guest *guest, uint64_t page)
{
	unsigned int slot = slot_of(guest, page);

	if (slot == HOTPLUG_SLOTS)
		return true;
	pthread_rwlock_rdlock(&guest->slot_locks[slot]);
	if (guest->plugged[slot])
		return true;
	pthread_rwlock_unlock(&guest->slot_locks[slot]);
	return false;
}

static void unuse(struct guest *guest, uint64_t page)
{
	unsigned int slot = slot_of(guest, page);

	if (slot != HOTPLUG_SLOTS)
		pthread_rwlock_unlock(&guest->slot_locks[slot]);
}

static bool may_hold(const struct guest *guest, uint64_t page, uint32_t state, uint64_t i,
		     uint64_t word)
{
	return word == word_of(guest, page, state, i) ||
	       ((state & CHANGE_MASK) && word == word_of(guest, page, next_state(state), i));
}

/* How many words from the first on are not right, and which is the first of those. */
static uint64_t count_wrong(const struct guest *guest, uint64_t page, uint32_t state,
			    uint64_t words, uint64_t *first, uint64_t *value)
{
	const volatile uint64_t *memory =
		(void *)memory_at(&guest->memory, page * guest->memory.page_size);
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < words; i++) {
		uint64_t word = memory[i];

		if (may_hold(guest, page, state, i, word))
			continue;
		if (wrong++ == 0) {
			*first = i;
			*value = word;
		}
	}
	return wrong;
}

static void judge(struct guest *guest, uint64_t page, uint64_t words)
{
	_Atomic uint32_t *state = &guest->states[page];

	for (unsigned int i = 0; i < MAX_TRIES; i++) {
		uint64_t first = 0;
		uint64_t value = 0;
		uint32_t before = atomic_load_explicit(state, memory_order_acquire);
		uint64_t wrong = count_wrong(guest, page, before, words, &first, &value);

		if (wrong == 0)
			return;
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(state, memory_order_relaxed) == before)
			report_fail("page %lu (state %#x): %lu of %lu words are wrong, the first "
				    "is %lu: %#lx and not %#lx",
				    page, before, wrong, words, first, value,
				    word_of(guest, page, before, first));
	}
	guest->raced++;
}

uint64_t guest_read(struct guest *guest, uint64_t page, bool quick)
{
	if (!use(guest, page))
		return 0;
	uint64_t bytes = guest->memory.page_size;

	report_begin("reads", page);
	*(volatile uint8_t *)memory_at(&guest->memory, page * bytes);
	uint64_t waited = report_end();

	judge(guest, page, quick ? 1 : bytes / sizeof(uint64_t));
	unuse(guest, page);
	guest->reads++;
	return waited;
}

static bool claim(struct guest *guest, uint64_t page, uint32_t change)
{
	uint32_t state = atomic_load(&guest->states[page]);

	if ((state & CHANGE_MASK) ||
	    !atomic_compare_exchange_strong(&guest->states[page], &state, state | change))
		return false;
	atomic_thread_fence(memory_order_release);
	return true;
}

static void complete(struct guest *guest, uint64_t page)
{
	atomic_store(&guest->states[page], next_state(atomic_load(&guest->states[page])));
}

void guest_write(struct guest *guest, uint64_t page)
{
	if (!use(guest, page))
		return;
	if (claim(guest, page, IS_WRITTEN)) {
		uint64_t bytes = guest->memory.page_size;
		volatile uint64_t *words = (void *)memory_at(&guest->memory, page * bytes);
		uint32_t after = next_state(atomic_load(&guest->states[page]));

		report_begin("writes", page);
		for (uint64_t i = 0; i < bytes / sizeof(*words); i++)
			words[i] = word_of(guest, page, after, i);
		report_end();
		complete(guest, page);
		guest->writes++;
	}
	unuse(guest, page);
}

/* The pages are claimed, and their slot is in use. */
static void remove_claimed(struct guest *guest, uint64_t page, uint64_t count)
{
	uint64_t bytes = guest->memory.page_size;

	report_begin("gives up", page);
	int error = memory_give_up(&guest->memory, page * bytes, count * bytes);

	report_end();
	if (error)
		report_fail("%lu pages from %lu on could not be given up: %s", count, page,
			    strerror(error));
	for (uint64_t i = 0; i < count; i++)
		complete(guest, page + i);
	guest->removals += count;
}

void guest_give_up(struct guest *guest, uint64_t page, uint64_t count)
{
	uint64_t claimed = 0;
	uint64_t left = memory_left(&guest->memory, page * guest->memory.page_size) /
			guest->memory.page_size;

	if (count > left)
		count = left;
	if (!use(guest, page))
		return;
	while (claimed < count && slot_of(guest, page + claimed) == slot_of(guest, page) &&
	       claim(guest, page + claimed, IS_REMOVED))
		claimed++;
	if (claimed > 0)
		remove_claimed(guest, page, claimed);
	unuse(guest, page);
}

void guest_toggle_slot(struct guest *guest, unsigned int slot)
{
	uint64_t page = guest->hotplug_start + slot * guest->slot_pages;
	uint64_t bytes = guest->memory.page_size;
	int protection = PROT_READ | PROT_WRITE;

	pthread_rwlock_wrlock(&guest->slot_locks[slot]);
	if (guest->plugged[slot]) {
		protection = PROT_NONE;
		for (uint64_t i = 0; i < guest->slot_pages; i++)
			if (!claim(guest, page + i, IS_REMOVED))
				report_fail("page %lu is in use in a slot that is not", page + i);
		remove_claimed(guest, page, guest->slot_pages);
	}
	if (mprotect(memory_at(&guest->memory, page * bytes), guest->slot_pages * bytes,
		     protection) < 0)
		report_setup(errno, "mprotect");
	guest->plugged[slot] = !guest->plugged[slot];
	guest->plugs++;
	pthread_rwlock_unlock(&guest->slot_locks[slot]);
}

uint64_t guest_wasted(struct guest *guest)
{
	uint64_t wasted = 0;
	uint64_t base_pages = guest->slot_pages * guest->memory.page_size / 4096;
	uint8_t *resident = calloc(base_pages + 1, 1);

	for (unsigned int slot = 0; resident && slot < HOTPLUG_SLOTS; slot++) {
		uint64_t page = guest->hotplug_start + slot * guest->slot_pages;

		if (guest->slot_pages == 0 || guest->plugged[slot])
			continue;
		if (mincore(memory_at(&guest->memory, page * guest->memory.page_size),
			    base_pages * 4096, resident) < 0)
			report_setup(errno, "mincore");
		for (uint64_t i = 0; i < base_pages; i++)
			wasted += (resident[i] & 1) * 4096ul;
	}
	free(resident);
	return wasted;
}
