#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uffd_manager/protocol.h"
#include "watch.h"

/* Addresses of our own, far below where the kernel puts what it may place itself. */
#define PLACES 8192u
#define RING 1024u /* places from here on are taken one after the other */
#define PLACE_BYTES (64ul << 20)
#define ARENA 0x100000000000ul

struct model model;
atomic_bool region_keeps_addresses;

static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static bool taken[PLACES];
static unsigned int newest = RING;

unsigned int region_take_place(void)
{
	pthread_mutex_lock(&places_lock);
	/* The first that is free has often just been left; those of the ring have not been used for
	 * long. */
	bool fresh = atomic_load(&region_keeps_addresses);
	unsigned int place = fresh ? newest + 1 : 0;

	while (place == PLACES || taken[place])
		place = place == PLACES ? RING : place + 1;
	taken[place] = true;
	if (fresh)
		newest = place;
	pthread_mutex_unlock(&places_lock);
	return place;
}

void region_give_place(unsigned int place)
{
	pthread_mutex_lock(&places_lock);
	taken[place] = false;
	pthread_mutex_unlock(&places_lock);
}

unsigned char *region_address(unsigned int place)
{
	return (unsigned char *)(uintptr_t)(ARENA + place * PLACE_BYTES);
}

static bool register_pages(const struct region *region, unsigned char *at, size_t first,
			   size_t count)
{
	const struct shape *shape = &region->shape;
	struct link_range range = {
		.start = (uint64_t)(uintptr_t)at,
		.length = count * region->page_bytes,
		.modes = UFFDM_MODE_MISSING | (region->memfd >= 0 ? UFFDM_MODE_MINOR : 0) |
			 (shape->protect ? UFFDM_MODE_WRITE_PROTECT : 0),
		.flags = (region->memfd >= 0 ? UFFDM_REGISTER_FROM_MAP : 0) |
			 (region->memfd < 0 && shape->file ? UFFDM_REGISTER_SOURCE_FD : 0) |
			 (shape->remove_source ? UFFDM_REGISTER_REMOVE_MEANS_SOURCE : 0) |
			 (shape->protect ? UFFDM_REGISTER_WRITE_PROTECTED : 0),
		.offset = region->source ? shape->offset + first * region->page_bytes : 0,
		.map_id = region->map_id,
		.source = region->memfd < 0 && shape->file ? region->file : -1,
		.policy = shape->policy,
		.path = region->memfd < 0 ? shape->name : NULL,
	};

	watch_begin("registers a range");
	bool registered = link_register(&model.link, &range);

	watch_end();
	return registered;
}

void region_map(const struct region *region, unsigned char *at, size_t first, size_t count)
{
	enum kind kind = region->shape.kind;
	int flags = MAP_FIXED_NOREPLACE | (kind == KIND_SHARED ? MAP_SHARED : MAP_PRIVATE) |
		    (region->memfd < 0 ? MAP_ANONYMOUS : 0) | (kind == KIND_HUGE ? MAP_HUGETLB : 0);
	size_t bytes = count * region->page_bytes;
	off_t offset =
		region->memfd < 0 ? 0 : (off_t)(region->shape.offset + first * region->page_bytes);
	bool registered;

	do {
		void *address =
			mmap(at, bytes, PROT_READ | PROT_WRITE, flags, region->memfd, offset);

		if (address != at)
			watch_fail("mmap of region %u at %p: %s", region->number, (void *)at,
				   address == MAP_FAILED ? strerror(errno) : "it lies elsewhere");
		/* A forked child would need huge pages of its own, which the pool may not have. */
		if (kind == KIND_HUGE && madvise(at, bytes, MADV_DONTFORK) < 0)
			watch_fail("madvise: %s", strerror(errno));
		registered = register_pages(region, at, first, count);
		/* If not, a snapshot's reader may have been in what was there before: map it once
		 * more. */
		flags = (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
	} while (!registered);
}

static int open_file(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		watch_fail("%s: %s", path, strerror(errno));
	return file;
}

static void open_source(struct region *region)
{
	const struct shape *shape = &region->shape;

	region->file = shape->file ? open_file(shape->file) : -1;
	region->memfd = -1;
	if (shape->expects) {
		int file = open_file(shape->expects);
		const unsigned char *contents = mmap(NULL, shape->offset + bytes_of(region),
						     PROT_READ, MAP_SHARED, file, 0);

		if (contents == MAP_FAILED)
			watch_fail("mmap of %s: %s", shape->expects, strerror(errno));
		close(file);
		region->source = (const uint64_t *)(contents + shape->offset);
	}
	if (shape->kind == KIND_PRIVATE || shape->kind == KIND_SHARED) {
		char name[64] = "";

		if (shape->kind == KIND_SHARED)
			snprintf(name, sizeof(name), "model-%d-%u", getpid(), region->number);
		region->memfd = link_map(&model.link, shape->offset + bytes_of(region),
					 region->file, shape->name, name, &region->map_id);
	}
}

void region_create(struct region *region, const struct shape *shape, unsigned int number)
{
	region->shape = *shape;
	region->number = number;
	region->page_bytes = shape->kind == KIND_HUGE ? HUGE_PAGE : BASE_PAGE;
	if (bytes_of(region) > PLACE_BYTES)
		watch_fail("region %u is too large", number);
	open_source(region);
	region->page = calloc(shape->pages, sizeof(*region->page));
	region->before = calloc(shape->pages, sizeof(*region->before));
	if (!region->page || !region->before)
		watch_fail("no memory");
	region->place = region_take_place();
	region->base = region_address(region->place);
	region_map(region, region->base, 0, shape->pages);
	for (size_t page = 0; page < shape->pages; page++) {
		region->page[page].at = region->base + page * region->page_bytes;
		region->page[page].zero = region->source == NULL;
	}
}

void region_create_mailbox(void)
{
	model.mailbox = link_map_mailbox(&model.link, region_address(PLACES));
}
