#include "layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uffd_manager/protocol.h"
#include "watch.h"

/*
 * Addresses of our own: far below where the kernel puts what it may place itself, and free but for
 * what stands in them, so that a field can be moved to where another one has just been.
 */
#define SLOTS (2 * MAX_FIELDS)
#define SLOT_BYTES (1ul << 30)
#define ARENA 0x100000000000ul

static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static bool taken[SLOTS];

static unsigned int take_slot(void)
{
	unsigned int slot = 0;

	pthread_mutex_lock(&slots_lock);
	while (slot < SLOTS && taken[slot])
		slot++;
	if (slot == SLOTS)
		watch_fail("no free slot");
	taken[slot] = true;
	pthread_mutex_unlock(&slots_lock);
	return slot;
}

static void give_slot(unsigned int slot)
{
	pthread_mutex_lock(&slots_lock);
	taken[slot] = false;
	pthread_mutex_unlock(&slots_lock);
}

static unsigned char *slot_address(unsigned int slot)
{
	return (unsigned char *)(uintptr_t)(ARENA + slot * SLOT_BYTES);
}

static size_t bytes_of(const struct field *field)
{
	return field->pages * field->page_bytes;
}

/* Nobody may touch it before it is registered: a reader that comes too late to an old layout. */
static void map(const struct field *field, unsigned char *at, size_t first, size_t count)
{
	int flags = MAP_FIXED_NOREPLACE | (field->kind == KIND_SHARED ? MAP_SHARED : MAP_PRIVATE) |
		    (field->memfd < 0 ? MAP_ANONYMOUS : 0) |
		    (field->kind == KIND_HUGE ? MAP_HUGETLB : 0);
	void *address =
		mmap(at, count * field->page_bytes, PROT_NONE, flags, field->memfd,
		     field->memfd < 0 ? 0 : (off_t)(field->offset + first * field->page_bytes));

	if (address != at)
		watch_fail("mmap of field %u at %p: %s", field->number, (void *)at,
			   address == MAP_FAILED ? strerror(errno) : "it lies elsewhere");
	/* A forked child would need huge pages of its own, which the pool may not have. */
	if (field->kind == KIND_HUGE && madvise(at, count * field->page_bytes, MADV_DONTFORK) < 0)
		watch_fail("madvise: %s", strerror(errno));
}

static void register_pages(const struct field *field, unsigned char *at, size_t first, size_t count)
{
	struct link_range range = {
		.start = (uint64_t)(uintptr_t)at,
		.length = count * field->page_bytes,
		.modes = UFFDM_MODE_MISSING | (field->memfd >= 0 ? UFFDM_MODE_MINOR : 0) |
			 (field->protect ? UFFDM_MODE_WRITE_PROTECT : 0),
		.flags = (field->memfd >= 0 ? UFFDM_REGISTER_FROM_MAP : 0) |
			 (field->remove_source ? UFFDM_REGISTER_REMOVE_MEANS_SOURCE : 0) |
			 (field->protect ? UFFDM_REGISTER_WRITE_PROTECTED : 0),
		.offset = field->kind == KIND_ZERO ? 0 : field->offset + first * field->page_bytes,
		.map_id = field->map_id,
		.source = field->kind == KIND_FILE || field->kind == KIND_HUGE ? fields.source : -1,
	};

	watch_begin("registers a range");
	link_register(&fields.link, &range);
	watch_end();
	if (mprotect(at, range.length, PROT_READ | PROT_WRITE) < 0)
		watch_fail("mprotect of field %u: %s", field->number, strerror(errno));
}

static void place(struct field *field, unsigned int slot)
{
	field->slot = slot;
	field->base = slot_address(slot);
	map(field, field->base, 0, field->pages);
	register_pages(field, field->base, 0, field->pages);
	fields_reset(field, 0, field->pages);
	for (size_t page = 0; page < field->pages; page++)
		field->page[page].cut = false;
}

static void unmap(struct field *field, unsigned char *at, size_t bytes)
{
	watch_begin("unmaps");
	int failed = munmap(at, bytes);

	watch_end();
	if (failed)
		watch_fail("munmap of field %u: %s", field->number, strerror(errno));
}

static size_t end_of_piece(const struct field *field, size_t page, size_t limit)
{
	do
		page++;
	while (page < limit && !field->page[page].cut);
	return page;
}

/*
 * Moves pages `first`+`count`, which lie at `from`. One mremap moves what the kernel has as one
 * mapping, and it does not always join what has been cut.
 */
static void remap(const struct field *field, size_t first, size_t count, unsigned char *from,
		  unsigned char *to)
{
	size_t next;

	for (size_t page = first; page < first + count; page = next) {
		next = end_of_piece(field, page, first + count);
		size_t bytes = (next - page) * field->page_bytes;
		size_t at = (page - first) * field->page_bytes;

		watch_begin("moves a mapping");
		void *address =
			mremap(from + at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to + at);

		watch_end();
		if (address != to + at)
			watch_fail("mremap of field %u from %p to %p: %s", field->number,
				   (void *)(from + at), (void *)(to + at), strerror(errno));
	}
}

static void cut(struct field *field, size_t first, size_t count)
{
	field->page[first].cut = true;
	if (first + count < field->pages)
		field->page[first + count].cut = true;
}

static void begin(struct field *field)
{
	pthread_rwlock_wrlock(&field->lock);
	atomic_fetch_add(&field->layout, 1);
}

static void end(struct field *field)
{
	atomic_fetch_add(&field->layout, 1);
	pthread_rwlock_unlock(&field->lock);
	watch->layouts++;
}

static void pick_part(const struct field *field, uint64_t *random, size_t *first, size_t *count)
{
	*first = next_random(random) % field->pages;
	*count = 1 + next_random(random) % (field->pages - *first);
}

void layout_create(struct field *field)
{
	pthread_rwlockattr_t attributes;

	/* Else those who change the layout never get their turn. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&field->lock, &attributes);
	if (bytes_of(field) > SLOT_BYTES)
		watch_fail("a field of %zu bytes is too large", bytes_of(field));
	place(field, take_slot());
}

void layout_create_mailbox(void)
{
	fields.mailbox = link_map_mailbox(&fields.link, slot_address(SLOTS));
}

void layout_renew(struct field *field, uint64_t *random)
{
	begin(field);
	unsigned int old = field->slot;
	bool elsewhere = next_random(random) % 2;

	if (next_random(random) % 3 == 0) {
		watch_begin("unregisters a range");
		link_unregister(&fields.link, (uint64_t)(uintptr_t)field->base, bytes_of(field));
		watch_end();
	}
	unmap(field, field->base, bytes_of(field));
	place(field, elsewhere ? take_slot() : old);
	if (elsewhere)
		give_slot(old);
	end(field);
}

void layout_renew_part(struct field *field, uint64_t *random)
{
	size_t first, count;

	begin(field);
	pick_part(field, random, &first, &count);
	unsigned char *at = field->base + first * field->page_bytes;

	unmap(field, at, count * field->page_bytes);
	cut(field, first, count);
	for (size_t page = first + 1; page < first + count; page++)
		field->page[page].cut = false;
	map(field, at, first, count);
	register_pages(field, at, first, count);
	fields_reset(field, first, count);
	end(field);
}

void layout_move(struct field *field)
{
	begin(field);
	unsigned int old = field->slot;
	unsigned int slot = take_slot();

	remap(field, 0, field->pages, field->base, slot_address(slot));
	field->slot = slot;
	field->base = slot_address(slot);
	give_slot(old);
	end(field);
}

/* `victim` is unmapped by it, and gets a new place afterwards. */
void layout_move_onto(struct field *field, struct field *victim, uint64_t *random)
{
	struct field *lower = field < victim ? field : victim;

	begin(lower);
	begin(lower == field ? victim : field);
	unsigned int old = field->slot;
	size_t rest = bytes_of(victim) > bytes_of(field) ? bytes_of(victim) - bytes_of(field) : 0;

	remap(field, 0, field->pages, field->base, victim->base);
	if (rest)
		unmap(victim, victim->base + bytes_of(field), rest);
	field->slot = victim->slot;
	field->base = victim->base;
	/* The place that has just become free, or another. */
	if (next_random(random) % 2) {
		place(victim, old);
	} else {
		place(victim, take_slot());
		give_slot(old);
	}
	end(victim);
	end(field);
}

void layout_move_part(struct field *field, uint64_t *random)
{
	size_t first, count;

	begin(field);
	pick_part(field, random, &first, &count);
	unsigned int slot = take_slot();
	unsigned char *at = field->base + first * field->page_bytes;

	cut(field, first, count);
	remap(field, first, count, at, slot_address(slot));
	remap(field, first, count, slot_address(slot), at);
	give_slot(slot);
	end(field);
}
