/*
 * torture [SEED] [ROUNDS] [THREADS] - every way in which a program changes its own memory, with the
 * contents checked after each step. The output depends on the arguments alone, so it can be
 * compared with that of a run without the shim. Exit status 0, or 1 after the first wrong byte.
 *
 * Each thread has a few mappings. For each page it knows the number that the page's first and last
 * word must hold: 0 for a page that was never written or was given up by MADV_DONTNEED.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MAPPINGS 6
#define MAX_PAGES 1024ul
#define MIN_PAGES 256ul

struct mapping {
	unsigned char *base;
	size_t pages;
	uint64_t expected[MAX_PAGES];
};

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t random;
	unsigned rounds;
	uint64_t digest;
	struct mapping mappings[MAPPINGS];
};

static uint64_t next(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static size_t pick(struct worker *w, size_t limit)
{
	return (size_t)(next(w) % limit);
}

static _Noreturn void fail(const struct worker *w, const char *what, const void *address)
{
	printf("thread %u: %s at %p: %s\n", w->number, what, address, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static uint64_t *first_word(const struct mapping *m, size_t page)
{
	return (uint64_t *)(m->base + page * PAGE);
}

static uint64_t *last_word(const struct mapping *m, size_t page)
{
	return (uint64_t *)(m->base + page * PAGE + PAGE - sizeof(uint64_t));
}

static void check(struct worker *w, const struct mapping *m, size_t page)
{
	uint64_t expected = m->expected[page];

	if (*first_word(m, page) != expected || *last_word(m, page) != expected) {
		printf("expected %lx, found %lx and %lx\n", expected, *first_word(m, page),
		       *last_word(m, page));
		fail(w, "wrong contents", first_word(m, page));
	}
	w->digest = (w->digest ^ expected) * 0x100000001b3ull;
}

static void write_page(struct worker *w, struct mapping *m, size_t page)
{
	uint64_t value = next(w) | 1;

	*first_word(m, page) = value;
	*last_word(m, page) = value;
	m->expected[page] = value;
}

static void *map(struct worker *w, void *at, size_t pages, int prot, int flags)
{
	void *base = mmap(at, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (base == MAP_FAILED)
		fail(w, "mmap", at);
	return base;
}

static void create(struct worker *w, struct mapping *m)
{
	m->pages = MIN_PAGES + pick(w, MAX_PAGES - MIN_PAGES);
	m->base = map(w, NULL, m->pages, PROT_READ | PROT_WRITE, 0);
	memset(m->expected, 0, sizeof(m->expected));
}

static void destroy(struct worker *w, struct mapping *m)
{
	for (size_t page = 0; page < m->pages; page += 1 + pick(w, 16))
		check(w, m, page);
	if (munmap(m->base, m->pages * PAGE))
		fail(w, "munmap", m->base);
	m->base = NULL;
}

static void resize(struct worker *w, struct mapping *m)
{
	size_t pages = MIN_PAGES + pick(w, MAX_PAGES - MIN_PAGES);
	void *base = mremap(m->base, m->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);

	if (base == MAP_FAILED)
		fail(w, "mremap", m->base);
	for (size_t page = m->pages; page < pages; page++)
		m->expected[page] = 0;
	m->base = base;
	m->pages = pages;
}

/* To an address of its choice, over something that is mapped there. */
static void move(struct worker *w, struct mapping *m)
{
	void *target = map(w, NULL, m->pages, PROT_READ | PROT_WRITE, 0);

	*(unsigned char *)target = 1;
	void *base = mremap(m->base, m->pages * PAGE, m->pages * PAGE,
			    MREMAP_MAYMOVE | MREMAP_FIXED, target);

	if (base != target)
		fail(w, "mremap to a fixed address", target);
	m->base = base;
}

static void give_up(struct worker *w, struct mapping *m)
{
	size_t first = pick(w, m->pages);
	size_t count = 1 + pick(w, m->pages - first);

	if (madvise(m->base + first * PAGE, count * PAGE, MADV_DONTNEED))
		fail(w, "madvise", m->base);
	for (size_t page = first; page < first + count; page++)
		m->expected[page] = 0;
}

static void replace(struct worker *w, struct mapping *m)
{
	size_t first = pick(w, m->pages);
	size_t count = 1 + pick(w, m->pages - first);

	map(w, m->base + first * PAGE, count, PROT_READ | PROT_WRITE, MAP_FIXED);
	for (size_t page = first; page < first + count; page++)
		m->expected[page] = 0;
	/* One mapping may be several to the kernel now, and mremap wants one. */
	unsigned char *fresh = map(w, NULL, m->pages, PROT_READ | PROT_WRITE, 0);

	for (size_t page = 0; page < m->pages; page++) {
		check(w, m, page);
		if (m->expected[page])
			memcpy(fresh + page * PAGE, m->base + page * PAGE, PAGE);
	}
	if (munmap(m->base, m->pages * PAGE))
		fail(w, "munmap", m->base);
	m->base = fresh;
}

static void protect(struct worker *w, struct mapping *m)
{
	size_t first = pick(w, m->pages);
	size_t count = 1 + pick(w, m->pages - first);
	unsigned char *from = m->base + first * PAGE;

	if (mprotect(from, count * PAGE, PROT_READ))
		fail(w, "mprotect", from);
	for (size_t page = first; page < first + count; page += 1 + pick(w, 32))
		check(w, m, page);
	if (mprotect(from, count * PAGE, PROT_READ | PROT_WRITE))
		fail(w, "mprotect", from);
}

static void read_and_write(struct worker *w, struct mapping *m)
{
	for (unsigned i = 0; i < 32; i++) {
		size_t page = pick(w, m->pages);

		check(w, m, page);
		if (next(w) & 1)
			write_page(w, m, page);
	}
}

/* The kernel touches the pages, not the program. */
static void through_the_kernel(struct worker *w, struct mapping *m)
{
	size_t page = pick(w, m->pages);
	uint64_t value = next(w) | 1;
	uint64_t words[PAGE / sizeof(uint64_t)];
	int ends[2];

	for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++)
		words[i] = value;
	if (pipe(ends) || write(ends[1], words, PAGE) != (ssize_t)PAGE ||
	    read(ends[0], m->base + page * PAGE, PAGE) != (ssize_t)PAGE)
		fail(w, "read into a page", m->base + page * PAGE);
	close(ends[0]);
	close(ends[1]);
	m->expected[page] = value;
	check(w, m, page);
}

static void one_step(struct worker *w, struct mapping *m)
{
	static void (*const steps[])(struct worker *, struct mapping *) = {
		resize,	 move,		 give_up,	 replace,
		protect, read_and_write, read_and_write, through_the_kernel};

	if (!m->base)
		create(w, m);
	read_and_write(w, m);
	size_t step = pick(w, sizeof(steps) / sizeof(*steps) + 1);

	if (step < sizeof(steps) / sizeof(*steps))
		steps[step](w, m);
	else
		destroy(w, m);
}

static void *work(void *argument)
{
	struct worker *w = argument;

	for (unsigned round = 0; round < w->rounds; round++)
		one_step(w, &w->mappings[pick(w, MAPPINGS)]);
	for (size_t i = 0; i < MAPPINGS; i++)
		for (size_t page = 0; w->mappings[i].base && page < w->mappings[i].pages; page++)
			check(w, &w->mappings[i], page);
	return NULL;
}

int main(int count, char **arguments)
{
	uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 0) : 1;
	unsigned rounds = count > 2 ? (unsigned)strtoul(arguments[2], NULL, 0) : 400;
	unsigned threads = count > 3 ? (unsigned)strtoul(arguments[3], NULL, 0) : 8;
	struct worker *workers = calloc(threads, sizeof(*workers));
	pid_t child;
	int status;

	if (!workers)
		return 1;
	for (unsigned i = 0; i < threads; i++) {
		workers[i].number = i;
		workers[i].rounds = rounds;
		workers[i].random = (seed + i) * 0x9e3779b97f4a7c15ull + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < threads; i++)
		printf("thread %u: %016lx\n", i, workers[i].digest);
	fflush(stdout);
	/* What a child sees is what the parent saw, and stays its own. */
	child = fork();
	if (child == 0) {
		for (unsigned i = 0; i < threads; i++)
			work(&workers[i]);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status != 0) {
		printf("child: status %x\n", status);
		return 1;
	}
	for (unsigned i = 0; i < threads; i++) {
		work(&workers[i]);
		printf("thread %u again: %016lx\n", i, workers[i].digest);
	}
	return 0;
}
