#include "fields.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"
#include "watch.h"

#define STAMP_WORDS 4u
#define PAGE_WORDS (BASE_PAGE / 8)
#define STAMP_MARK 0x7374616d70000000ull

struct fields fields;

static _Thread_local sigjmp_buf overtaken;
static _Thread_local volatile sig_atomic_t guarded;

/* ---- what a page must hold ---- */

static size_t stamp_place(const struct field *field, size_t page)
{
	return (page * 37 + field->number * 101) % (PAGE_WORDS - STAMP_WORDS);
}

static uint64_t stamp_word(const struct field *field, size_t page, uint32_t stamp, unsigned int i)
{
	return (STAMP_MARK | (uint64_t)field->number << 20 | page) ^ (uint64_t)stamp << 32 ^
	       i * 0x0101010101010101ull;
}

static uint64_t wanted_word(const struct field *field, size_t page, bool zero, uint32_t stamp,
			    size_t word)
{
	size_t place = stamp_place(field, page);

	if (stamp != 0 && word >= place && word < place + STAMP_WORDS)
		return stamp_word(field, page, stamp, (unsigned int)(word - place));
	return zero ? 0 : image_word(field->offset + page * field->page_bytes + word * 8);
}

/* A guess at where a wrong page comes from, for people. */
static const char *describe(const struct field *field, size_t page, const uint64_t *words,
			    char *text, size_t size)
{
	size_t place = stamp_place(field, page);
	size_t probe = place > PAGE_WORDS / 2 ? 3 : PAGE_WORDS - 3;
	uint64_t found = words[probe];
	uint64_t zeros = 0;
	uint64_t stamp = (words[place] ^ stamp_word(field, page, 0, 0)) >> 32;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		zeros += words[i] == 0;
	/* The multiplier of image_word is odd: its inverse gives the offset back. */
	uint64_t inverse = 0xf1de83e19937733dull;
	uint64_t offset = (found * inverse - 1) * 8;

	if (zeros == PAGE_WORDS)
		snprintf(text, size, "all zeros");
	else if (found == 0)
		snprintf(text, size, "zeros with stamp %lu", stamp);
	else
		snprintf(text, size,
			 "source at offset 0x%lx, page %ld of the field, stamp word %lu",
			 offset - probe * 8, (long)(offset - field->offset) / (long)BASE_PAGE,
			 stamp);
	return text;
}

static _Noreturn void wrong(const struct field *field, size_t page, bool zero, uint32_t stamp,
			    const unsigned char *address, const uint64_t *words, size_t word)
{
	static const char *const kinds[] = {"file", "zero", "private", "shared", "huge"};
	char text[128];

	watch_fail("wrong byte: field %u (%s, %zu pages, offset 0x%lx, remove means %s, layout %u) "
		   "page %zu at %p, word %zu is 0x%lx, must be 0x%lx (%s, stamp %u, version %u); "
		   "the page looks like %s",
		   field->number, kinds[field->kind], field->pages, field->offset,
		   field->remove_source ? "source" : "zero", field->layout, page,
		   (const void *)address, word, words[word],
		   wanted_word(field, page, zero, stamp, word), zero ? "zeros" : "source", stamp,
		   field->page[page].version, describe(field, page, words, text, sizeof(text)));
}

/* The number of the first word that differs, or PAGE_WORDS. */
static size_t first_difference(const struct field *field, size_t page, bool zero, uint32_t stamp,
			       const uint64_t *words)
{
	for (size_t word = 0; word < PAGE_WORDS; word++)
		if (words[word] != wanted_word(field, page, zero, stamp, word))
			return word;
	return PAGE_WORDS;
}

/* ---- signals ---- */

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (guarded)
		siglongjmp(overtaken, signal);
	watch_fail_by_signal(info);
}

void fields_catch_signals(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* Copies a page that may vanish meanwhile; 0 or the signal that it cost. */
static int copy_page(uint64_t *to, const unsigned char *from)
{
	int signal = sigsetjmp(overtaken, 0);

	if (signal == 0) {
		guarded = 1;
		memcpy(to, from, BASE_PAGE);
	}
	guarded = 0;
	return signal;
}

/* ---- pages ---- */

static unsigned char *address_of(const struct field *field, size_t page)
{
	return field->base + page * field->page_bytes;
}

bool fields_read(struct field *field, size_t page)
{
	struct page *state = &field->page[page];
	uint32_t layout = atomic_load(&field->layout);
	uint32_t version = atomic_load(&state->version);
	uint64_t words[PAGE_WORDS];

	if ((layout | version) & 1)
		return false;
	const unsigned char *address = address_of(field, page);
	bool zero = state->zero;
	uint32_t stamp = state->stamp;

	atomic_thread_fence(memory_order_seq_cst);
	if (version != atomic_load(&state->version) || layout != atomic_load(&field->layout))
		return false;
	watch_begin("reads a page");
	int signal = copy_page(words, address);

	watch_end();
	atomic_thread_fence(memory_order_seq_cst);
	if (version != atomic_load(&state->version) || layout != atomic_load(&field->layout))
		return false;
	if (signal != 0)
		watch_fail("signal %d for reading field %u page %zu at %p", signal, field->number,
			   page, (const void *)address);
	size_t word = first_difference(field, page, zero, stamp, words);

	if (word < PAGE_WORDS)
		wrong(field, page, zero, stamp, address, words, word);
	watch->reads++;
	return true;
}

static void lock_page(struct page *state)
{
	uint32_t version = atomic_load(&state->version);

	while ((version & 1) ||
	       !atomic_compare_exchange_weak(&state->version, &version, version + 1)) {
		sched_yield();
		version = atomic_load(&state->version);
	}
}

static void unlock_page(struct page *state)
{
	atomic_fetch_add(&state->version, 1);
}

static void check_held(struct field *field, size_t page)
{
	struct page *state = &field->page[page];
	const unsigned char *address = address_of(field, page);
	uint64_t words[PAGE_WORDS];

	watch_begin("reads a page again");
	memcpy(words, address, BASE_PAGE);
	watch_end();
	size_t word = first_difference(field, page, state->zero, state->stamp, words);

	if (word < PAGE_WORDS)
		wrong(field, page, state->zero, state->stamp, address, words, word);
	watch->reads++;
}

void fields_write(struct field *field, size_t page, bool check)
{
	struct page *state = &field->page[page];
	size_t place = stamp_place(field, page);

	lock_page(state);
	volatile uint64_t *words = (volatile uint64_t *)address_of(field, page);
	uint32_t stamp = state->stamp + 1;

	watch_begin("writes to a page");
	for (unsigned int i = 0; i < STAMP_WORDS; i++)
		words[place + i] = stamp_word(field, page, stamp, i);
	watch_end();
	state->stamp = stamp;
	if (check)
		check_held(field, page);
	unlock_page(state);
	watch->writes++;
}

void fields_remove(struct field *field, size_t first, size_t count)
{
	for (size_t page = first; page < first + count; page++)
		lock_page(&field->page[page]);
	watch_begin("gives pages up");
	int failed = madvise(address_of(field, first), count * field->page_bytes, MADV_DONTNEED);

	watch_end();
	if (failed)
		watch_fail("madvise of field %u pages %zu+%zu: %s", field->number, first, count,
			   strerror(errno));
	for (size_t page = first; page < first + count; page++) {
		if (field->kind != KIND_SHARED) { /* its pages stay in the object */
			field->page[page].zero = !field->remove_source;
			field->page[page].stamp = 0;
		}
		unlock_page(&field->page[page]);
	}
	watch->removals++;
}

void fields_reset(struct field *field, size_t first, size_t count)
{
	if (field->kind == KIND_SHARED)
		return; /* what was written is in the object */
	for (size_t page = first; page < first + count; page++) {
		field->page[page].zero = field->kind == KIND_ZERO;
		field->page[page].stamp = 0;
	}
}

/* The page of a shared object to which somebody else may be writing: whole stamps or none. */
static void check_foreign(const struct field *field, size_t page)
{
	size_t place = stamp_place(field, page);
	uint64_t words[PAGE_WORDS];

	watch_begin("reads a page of others");
	memcpy(words, address_of(field, page), BASE_PAGE);
	watch_end();
	for (size_t word = 0; word < PAGE_WORDS; word++)
		if ((word < place || word >= place + STAMP_WORDS) &&
		    words[word] != wanted_word(field, page, false, 0, word))
			wrong(field, page, false, 0, address_of(field, page), words, word);
}

void fields_verify(uint64_t seed, bool others_write_shared)
{
	for (unsigned int i = 0; i < fields.count; i++) {
		struct field *field = &fields.field[(i + seed) % fields.count];
		size_t step = (next_random(&seed) % field->pages) | 1;

		if (field->kind == KIND_HUGE && others_write_shared)
			continue; /* it has not come along: see layout_create */
		/* Pages by a step that shares no factor with a power of two: each once. */
		size_t span = 1;

		while (span < field->pages)
			span *= 2;
		for (size_t n = 0, page = 0; n < span; n++, page = (page + step) % span) {
			if (page >= field->pages)
				continue;
			if (field->kind == KIND_SHARED && others_write_shared)
				check_foreign(field, page);
			else
				check_held(field, page);
		}
	}
}
