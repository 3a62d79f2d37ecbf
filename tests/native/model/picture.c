#include "picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "page.h"
#include "record.h"
#include "watch.h"

/* Which page was at an address at any time since the record began. */
#define BUCKETS (1u << 20)

struct owner {
	uint64_t at;
	const struct region *region;
	size_t page;
};

static struct owner owners[BUCKETS];
static unsigned int owner_count;
static struct picture picture;
static int image_file = -1;
static int base_file = -1;

static struct owner *find_owner(uint64_t at)
{
	size_t bucket = at / BASE_PAGE * 0x9e3779b97f4a7c15ull >> 44;

	while (owners[bucket].region && owners[bucket].at != at)
		bucket = (bucket + 1) % BUCKETS;
	return &owners[bucket];
}

static void add_owner(uint64_t at, const struct region *region, size_t page)
{
	struct owner *owner = find_owner(at);

	if (owner->region) {
		if (owner->region != region || owner->page != page)
			watch_fail("the test itself is wrong: 0x%lx is page %zu of region %u and "
				   "page %zu of region %u",
				   at, owner->page, owner->region->number, page, region->number);
		return;
	}
	if (++owner_count > BUCKETS / 2)
		watch_fail("the test itself is wrong: too many addresses");
	*owner = (struct owner){.at = at, .region = region, .page = page};
}

static void collect_owners(void)
{
	memset(owners, 0, sizeof(owners));
	owner_count = 0;
	for (unsigned int i = 0; i < model.regions; i++)
		for (size_t page = 0; page < model.region[i].shape.pages; page++)
			if (model.region[i].before[page].at)
				add_owner((uint64_t)(uintptr_t)model.region[i].before[page].at,
					  &model.region[i], page);
	for (unsigned int i = 0; i < model.workers; i++) {
		for (uint64_t n = 0; n < record[i].count; n++) {
			const struct event *event = &record[i].event[n];
			const struct region *region = &model.region[event->region];

			if (event->kind != EVENT_PLACE && event->kind != EVENT_MOVE)
				continue;
			for (size_t page = 0; page < event->count; page++)
				add_owner(event->value + page * region->page_bytes, region,
					  event->first + page);
		}
	}
}

static int open_image(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		watch_fail("%s: %s", path, strerror(errno));
	return file;
}

void picture_open(const char *image, const char *base)
{
	if (image_file >= 0)
		close(image_file);
	if (base_file >= 0)
		close(base_file);
	image_file = open_image(image);
	base_file = base ? open_image(base) : -1;
	collect_owners();
	for (unsigned int i = 0; i < model.regions; i++) {
		size_t pages = model.region[i].shape.pages;

		if (!picture.page[i])
			picture.page[i] = calloc(pages, sizeof(struct picture_page));
		if (!picture.page[i])
			watch_fail("no memory");
		memset(picture.page[i], 0, pages * sizeof(struct picture_page));
	}
}

/* 4 KiB of the image; where a diff has a hole, of its base. */
static void read_image(uint64_t offset, uint64_t *words)
{
	off_t data = base_file < 0 ? (off_t)offset : lseek(image_file, (off_t)offset, SEEK_DATA);
	int file = data >= 0 && (uint64_t)data < offset + BASE_PAGE ? image_file : base_file;
	ssize_t got = pread(file, words, BASE_PAGE, (off_t)offset);

	if (got != (ssize_t)BASE_PAGE)
		watch_fail("the image cannot be read at %lu: %zd bytes", offset, got);
}

/* Says which parts of a page that is neither are what. */
static _Noreturn void explain(const struct region *region, size_t page, uint64_t at,
			      uint64_t offset)
{
	char parts[HUGE_PAGE / BASE_PAGE + 1];
	uint64_t words[PAGE_WORDS];
	size_t count = region->page_bytes / BASE_PAGE;

	for (size_t part = 0; part < count; part++) {
		read_image(offset + part * BASE_PAGE, words);
		bool zero = page_is_below(region, page, true, part * BASE_PAGE, words);
		bool source = page_is_below(region, page, false, part * BASE_PAGE, words);

		parts[part] = zero && source ? '.' : zero ? 'z' : source ? 's' : 'X';
	}
	parts[count] = '\0';
	watch_fail("in the snapshot%s region %u (kind %u) page %zu at 0x%lx (image 0x%lx) has "
		   "neither zeros nor its source (%s) below what was written: %s, slots %lx %lx "
		   "%lx %lx",
		   base_file < 0 ? "" : ", a diff,", region->number, region->shape.kind, page, at,
		   offset, region->shape.name ? region->shape.name : "a file", parts,
		   picture.page[region->number][page].slot[0],
		   picture.page[region->number][page].slot[1],
		   picture.page[region->number][page].slot[2],
		   picture.page[region->number][page].slot[3]);
}

static void look(const struct region *region, size_t page, uint64_t at, uint64_t offset)
{
	struct picture_page *seen = &picture.page[region->number][page];
	uint64_t words[PAGE_WORDS];

	if (seen->at)
		watch_fail("region %u page %zu is in the snapshot twice: at %p and 0x%lx",
			   region->number, page, (void *)seen->at, at);
	seen->at = (unsigned char *)(uintptr_t)at;
	seen->can_be_zero = seen->can_be_source = true;
	for (size_t part = 0; part < region->page_bytes; part += BASE_PAGE) {
		read_image(offset + part, words);
		seen->can_be_zero &= page_is_below(region, page, true, part, words);
		seen->can_be_source &= page_is_below(region, page, false, part, words);
		for (unsigned int slot = 0; slot < SLOTS; slot++) {
			size_t place = page_slot_offset(region, page, slot);

			if (place >= part && place < part + BASE_PAGE)
				seen->slot[slot] = words[(place - part) / 8];
		}
	}
	if (!seen->can_be_zero && !seen->can_be_source)
		explain(region, page, at, offset);
}

void picture_add(uint64_t start, uint64_t length, uint64_t offset)
{
	for (uint64_t at = start; at < start + length;) {
		const struct owner *owner = find_owner(at);

		if (!owner->region)
			watch_fail("0x%lx is in the snapshot, where no page has been", at);
		look(owner->region, owner->page, at, offset + at - start);
		at += owner->region->page_bytes;
	}
}

const struct picture *picture_close(void)
{
	return &picture;
}

bool picture_agrees(const struct picture *taken, const struct region *region, size_t page,
		    const struct page *state)
{
	const struct picture_page *seen = &taken->page[region->number][page];

	if (seen->at != state->at)
		return false;
	if (!seen->at)
		return true;
	if (!(state->zero ? seen->can_be_zero : seen->can_be_source))
		return false;
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (seen->slot[slot] != page_slot_word(region, page, state, slot))
			return false;
	return true;
}
