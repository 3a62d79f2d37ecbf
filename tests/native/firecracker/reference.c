/*
 * reference.c - the yardstick: what a handler of Firecracker's page faults costs when it does
 * nothing else.
 *
 *   uffd-firecracker-reference --socket PATH --image FILE [--fault-all] [--defect NAME]
 *
 * One thread, one epoll instance, any number of guests on one socket. On demand: a batch of
 * messages is read, the removals in it are noted, its faults answered by UFFDIO_COPY from the
 * mapped image. With --fault-all the first fault of a guest fills all of its memory. A bit per page
 * tells what was given up. No policy, no accounting, no limits; it dies of what it does not know.
 *
 * --defect makes it a handler with a known mistake, so that a check can prove that it is noticed:
 * shifted (contents of the next page), resurrect (removals are ignored), deaf (faults are read and
 * not answered). Says "ready" when it listens.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "yardstick.h"

#define BATCH 64
#define MAX_REGIONS 8u
#define MAX_DEFERRED 1024u
#define HUGE_PAGE (2ul << 20)
#define FILL_STEP (4ul << 20)

struct region {
	uint64_t base;
	uint64_t size;
	uint64_t offset;
	uint8_t *removed; /* a bit for each page */
};

struct guest {
	int uffd;
	uint64_t page_size;
	unsigned int count;
	bool filled;
	struct region region[MAX_REGIONS];
	bool waits; /* is in the list of those that have deferred faults */
	struct guest *next_waiting;
	unsigned int deferred_count;
	uint64_t deferred[MAX_DEFERRED]; /* addresses; a removal was not over when they faulted */
};

static const char *image;
static uint64_t image_length;
static const char *zeros;
static bool fault_all;
static const char *defect = "";
static struct guest *waiting; /* guests with deferred faults */

/* The number after `key` in the text up to `end`, 0 if there is none. */
static uint64_t number_of(const char *text, const char *end, const char *key)
{
	const char *found = strstr(text, key);

	return found && found < end ? strtoull(found + strlen(key), NULL, 10) : 0;
}

static void parse(struct guest *guest, const char *text)
{
	for (const char *at = strchr(text, '{'); at; at = strchr(at + 1, '{')) {
		const char *end = strchr(at, '}');
		struct region *region = &guest->region[guest->count++];

		if (!end || guest->count > MAX_REGIONS) {
			errno = EPROTO;
			yardstick_die(text);
		}
		region->base = number_of(at, end, "\"base_host_virt_addr\":");
		region->size = number_of(at, end, "\"size\":");
		region->offset = number_of(at, end, "\"offset\":");
		guest->page_size = number_of(at, end, "\"page_size\":");
		if (guest->page_size == 0)
			guest->page_size = number_of(at, end, "\"page_size_kib\":");
		if (guest->page_size == 0)
			guest->page_size = 4096;
		region->removed = calloc(region->size / guest->page_size / 8 + 1, 1);
		if (!region->removed || region->offset + region->size > image_length) {
			errno = region->removed ? ERANGE : ENOMEM;
			yardstick_die(text);
		}
		at = end;
	}
}

/* The whole message, in as many pieces as it comes in. */
static void receive(int socket, struct guest *guest)
{
	static char text[65536];
	size_t length = 0;

	guest->uffd = -1;
	do {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(2 * sizeof(int))];
		} control;
		struct iovec iov = {.iov_base = text + length,
				    .iov_len = sizeof(text) - 1 - length};
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

		if (got <= 0)
			yardstick_die("recvmsg");
		if (cmsg && cmsg->cmsg_type == SCM_RIGHTS && guest->uffd < 0) {
			int second;

			memcpy(&guest->uffd, CMSG_DATA(cmsg), sizeof(int));
			if (cmsg->cmsg_len >= CMSG_LEN(2 * sizeof(int))) {
				memcpy(&second, CMSG_DATA(cmsg) + sizeof(int), sizeof(int));
				close(second);
			}
		}
		length += (size_t)got;
		text[length] = 0;
	} while (text[length - 1] != ']');
	if (guest->uffd < 0) {
		errno = EBADF;
		yardstick_die("no userfaultfd");
	}
	parse(guest, text);
}

static struct region *region_of(struct guest *guest, uint64_t address)
{
	for (unsigned int i = 0; i < guest->count; i++)
		if (address - guest->region[i].base < guest->region[i].size)
			return &guest->region[i];
	errno = EFAULT;
	yardstick_die("a fault outside of all regions");
}

static void wake(const struct guest *guest, uint64_t start, uint64_t length)
{
	struct uffdio_range range = {.start = start, .len = length};

	ioctl(guest->uffd, UFFDIO_WAKE, &range);
}

static void unprotect(const struct guest *guest, uint64_t address)
{
	struct uffdio_writeprotect range = {
		.range = {.start = address, .len = guest->page_size},
	};

	if (ioctl(guest->uffd, UFFDIO_WRITEPROTECT, &range) < 0 && errno != ENOENT &&
	    errno != EAGAIN && errno != ESRCH)
		yardstick_die("UFFDIO_WRITEPROTECT");
}

static const char *contents(const struct guest *guest, const struct region *region,
			    uint64_t address)
{
	uint64_t page = (address - region->base) / guest->page_size;
	uint64_t offset = region->offset + (address - region->base);

	if (region->removed[page / 8] >> (page % 8) & 1)
		return zeros;
	if (strcmp(defect, "shifted") == 0)
		offset = (offset + guest->page_size) % image_length;
	return image + offset;
}

/* Answers a fault; false if it has to be tried again, because a removal is under way. */
static bool serve(struct guest *guest, uint64_t address)
{
	struct region *region = region_of(guest, address);
	struct uffdio_copy copy = {
		.dst = address,
		.src = (uintptr_t)contents(guest, region, address),
		.len = guest->page_size,
	};

	if (ioctl(guest->uffd, UFFDIO_COPY, &copy) == 0)
		return true;
	if (errno == EAGAIN)
		return false;
	if (errno != EEXIST && errno != ENOENT && errno != ESRCH)
		yardstick_die("UFFDIO_COPY");
	wake(guest, address, guest->page_size);
	return true;
}

static void fill_region(struct guest *guest, const struct region *region)
{
	uint64_t done = 0;

	while (done < region->size) {
		uint64_t left = region->size - done;
		struct uffdio_copy copy = {
			.dst = region->base + done,
			.src = (uintptr_t)(image + region->offset + done),
			.len = left < FILL_STEP ? left : FILL_STEP,
		};

		if (ioctl(guest->uffd, UFFDIO_COPY, &copy) == 0) {
			done += copy.len;
		} else if (errno == EAGAIN && copy.copy > 0) {
			done += (uint64_t)copy.copy;
		} else if (errno == EEXIST) {
			wake(guest, copy.dst, guest->page_size);
			done += guest->page_size;
		} else if (errno == ESRCH) {
			return;
		} else if (errno != EAGAIN) {
			yardstick_die("UFFDIO_COPY of everything");
		}
	}
}

static void note_removal(struct guest *guest, uint64_t start, uint64_t end)
{
	struct region *region = region_of(guest, start);

	if (strcmp(defect, "resurrect") == 0)
		return;
	for (uint64_t at = start; at < end; at += guest->page_size) {
		uint64_t page = (at - region->base) / guest->page_size;

		region->removed[page / 8] |= (uint8_t)(1u << page % 8);
	}
}

static void answer(struct guest *guest, uint64_t address)
{
	if (strcmp(defect, "deaf") == 0)
		return;
	if (fault_all && !guest->filled) {
		guest->filled = true;
		for (unsigned int i = 0; i < guest->count; i++)
			fill_region(guest, &guest->region[i]);
		return;
	}
	if (serve(guest, address))
		return;
	if (guest->deferred_count == MAX_DEFERRED) {
		errno = EOVERFLOW;
		yardstick_die("deferred faults");
	}
	guest->deferred[guest->deferred_count++] = address;
	if (!guest->waits) {
		guest->waits = true;
		guest->next_waiting = waiting;
		waiting = guest;
	}
}

/* Each in the list tries its deferred faults again, and stays there if it has to. */
static void answer_deferred(void)
{
	struct guest *guest = waiting;

	waiting = NULL;
	while (guest) {
		struct guest *next = guest->next_waiting;
		unsigned int count = guest->deferred_count;

		guest->waits = false;
		guest->deferred_count = 0;
		for (unsigned int i = 0; i < count; i++)
			answer(guest, guest->deferred[i]);
		guest = next;
	}
}

/* One batch: its removals first, because the kernel tells of faults before it tells of them. */
static void serve_batch(struct guest *guest)
{
	struct uffd_msg messages[BATCH];
	ssize_t got = read(guest->uffd, messages, sizeof(messages));
	ssize_t count = got < 0 ? 0 : got / (ssize_t)sizeof(messages[0]);

	for (ssize_t i = 0; i < count; i++)
		if (messages[i].event == UFFD_EVENT_REMOVE)
			note_removal(guest, messages[i].arg.remove.start,
				     messages[i].arg.remove.end);
	for (ssize_t i = 0; i < count; i++) {
		uint64_t address = messages[i].arg.pagefault.address & ~(guest->page_size - 1);

		if (messages[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (messages[i].arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			unprotect(guest, address);
		else
			answer(guest, address);
	}
}

static void welcome(int epoll_fd, int listener)
{
	int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct guest *guest = calloc(1, sizeof(*guest));

	if (socket < 0 || !guest)
		yardstick_die("accept");
	receive(socket, guest);
	close(socket);
	yardstick_watch(epoll_fd, guest->uffd, guest);
}

static void map_image(const char *path)
{
	image = yardstick_map(path, MAP_PRIVATE, &image_length);
	zeros = mmap(NULL, HUGE_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeros == MAP_FAILED)
		yardstick_die("mmap");
}

int main(int argc, char **argv)
{
	const char *socket_path = NULL;
	const char *image_path = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--fault-all") == 0)
			fault_all = true;
		else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
			socket_path = argv[++i];
		else if (strcmp(argv[i], "--image") == 0 && i + 1 < argc)
			image_path = argv[++i];
		else if (strcmp(argv[i], "--defect") == 0 && i + 1 < argc)
			defect = argv[++i];
	}
	if (!socket_path || !image_path) {
		fprintf(stderr, "usage: uffd-firecracker-reference --socket PATH --image FILE "
				"[--fault-all] [--defect shifted|resurrect|deaf]\n");
		return 64;
	}
	map_image(image_path);

	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int listener = yardstick_listen(socket_path, SOCK_STREAM);

	yardstick_watch(epoll_fd, listener, NULL);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[BATCH];
		/* A removal that is not over ends without a word: what waits for it is tried again.
		 */
		int count = epoll_wait(epoll_fd, events, BATCH, waiting ? 0 : -1);

		answer_deferred();
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				serve_batch(events[i].data.ptr);
			else
				welcome(epoll_fd, listener);
		}
	}
}
