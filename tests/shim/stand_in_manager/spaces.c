/* spaces.c - address spaces, and what their userfaultfds tell of them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stand_in.h"

struct space spaces[MAX_SPACES];

struct space *new_space(int uffd)
{
	for (size_t i = 0; i < MAX_SPACES; i++) {
		if (spaces[i].uffd == 0) {
			spaces[i] = (struct space){.uffd = uffd, .token = next_token++};
			fcntl(uffd, F_SETFL, O_NONBLOCK);
			return &spaces[i];
		}
	}
	fprintf(stderr, "too many address spaces\n");
	exit(1);
}

static void free_space(struct space *space)
{
	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		if (connections[i].space == space)
			connections[i].space = NULL;
	for (size_t i = 0; i < space->count; i++)
		if (space->regions[i].file >= 0)
			close(space->regions[i].file);
	free(space->regions);
	close(space->uffd);
	space->uffd = 0;
}

void add_region(struct space *space, struct region region)
{
	if (space->count == space->room) {
		space->room = space->room * 2 + 16;
		space->regions = realloc(space->regions, space->room * sizeof(region));
		if (!space->regions)
			die("realloc");
	}
	space->regions[space->count++] = region;
}

void cut(struct space *space, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < space->count; i++) {
		struct region *region = &space->regions[i];
		struct region tail = *region;

		if (region->end <= start || region->start >= end)
			continue;
		if (tail.end > end) {
			tail.offset += end - tail.start;
			tail.start = end;
			if (tail.file >= 0)
				tail.file = dup(tail.file);
			add_region(space, tail);
			region = &space->regions[i];
		}
		if (region->start < start) {
			region->end = start;
			continue;
		}
		if (region->file >= 0)
			close(region->file);
		space->regions[i--] = space->regions[--space->count];
	}
}

static void move(struct space *space, uint64_t from, uint64_t to, uint64_t length)
{
	size_t count = space->count;

	cut(space, to, to + length);
	for (size_t i = 0; i < count && i < space->count; i++) {
		struct region part = space->regions[i];

		if (part.end <= from || part.start >= from + length)
			continue;
		if (part.start < from) {
			part.offset += from - part.start;
			part.start = from;
		}
		if (part.end > from + length)
			part.end = from + length;
		part.start = part.start - from + to;
		part.end = part.end - from + to;
		if (part.file >= 0)
			part.file = dup(part.file);
		add_region(space, part);
	}
}

static const struct region *find(const struct space *space, uint64_t address)
{
	for (size_t i = 0; i < space->count; i++)
		if (address >= space->regions[i].start && address < space->regions[i].end)
			return &space->regions[i];
	return NULL;
}

static void resolve(struct space *space, uint64_t address)
{
	static unsigned char page[PAGE] __attribute__((aligned(4096)));
	const struct region *region = find(space, address);
	struct uffdio_copy copy = {.dst = address, .src = (uintptr_t)page, .len = PAGE};
	struct uffdio_range range = {.start = address, .len = PAGE};

	counters.faults++;
	memset(page, 0, sizeof(page));
	if (region && region->mailbox)
		memcpy(page, &space->token, sizeof(space->token));
	if (region && region->file >= 0) {
		counters.lazy_faults++;
		if (pread(region->file, page, PAGE,
			  (off_t)(region->offset + address - region->start)) < 0)
			die("pread");
	}
	if (ioctl(space->uffd, UFFDIO_COPY, &copy) != 0 && errno != EAGAIN)
		ioctl(space->uffd, UFFDIO_WAKE, &range);
	else if (errno == EAGAIN && copy.copy != (int64_t)PAGE)
		ioctl(space->uffd, UFFDIO_WAKE, &range); /* it faults again */
}

static void on_fork(const struct space *parent, int uffd)
{
	struct space *child = new_space(uffd);

	child->features = parent->features;
	counters.forks++;
	for (size_t i = 0; i < parent->count; i++) {
		struct region region = parent->regions[i];

		if (region.file >= 0)
			region.file = dup(region.file);
		add_region(child, region);
	}
}

void serve_uffd(struct space *space)
{
	struct uffd_msg messages[16];
	ssize_t length;

	while ((length = read(space->uffd, messages, sizeof(messages))) > 0) {
		size_t count = (size_t)length / sizeof(*messages);

		for (size_t i = 0; i < count; i++) {
			const struct uffd_msg *m = &messages[i];

			if (m->event == UFFD_EVENT_FORK)
				on_fork(space, (int)m->arg.fork.ufd);
			else if (m->event == UFFD_EVENT_REMAP)
				move(space, m->arg.remap.from, m->arg.remap.to, m->arg.remap.len);
			else if (m->event == UFFD_EVENT_UNMAP)
				cut(space, m->arg.remove.start, m->arg.remove.end);
		}
		for (size_t i = 0; i < count; i++) {
			uint64_t address = messages[i].arg.pagefault.address & ~(PAGE - 1);

			if (messages[i].event == UFFD_EVENT_PAGEFAULT)
				resolve(space, address);
		}
	}
}

void collect_dead(void)
{
	/* EVENT-less death: an ioctl on a dead address space says ESRCH. */
	for (size_t i = 0; i < MAX_SPACES; i++) {
		struct uffdio_zeropage probe = {.range = {PAGE, PAGE}};

		if (spaces[i].uffd && ioctl(spaces[i].uffd, UFFDIO_ZEROPAGE, &probe) != 0 &&
		    errno == ESRCH)
			free_space(&spaces[i]);
	}
}
