/*
 * stand_in_manager SOCKET [FEATURES [MISHAP]] - the least that the shim needs of a manager, in one
 * thread: it gives out /dev/userfaultfd, registers, fills pages with zeros or from a file, follows
 * fork, remap and unmap, and answers mailboxes. So the shim's own tests can stop it, kill it and
 * make it say unusual things.
 *
 * MISHAP: die-at-register=N dies when it has carried out the Nth REGISTER, before it answers;
 * drop-wake closes the connection on which an adoption is to be ended, once, without ending it;
 * refuse-source refuses the first REGISTER of a file; drop-hello closes the first connection
 * without an answer.
 *
 * SIGHUP: prints what SIGTERM prints, and goes on.
 * SIGUSR1: sends a command from the reserved range to every connection.
 * SIGUSR2: sends GOODBYE (session ended) to every connection, unregistering nothing.
 * SIGTERM: prints "sessions=N registers=N faults=N lazy=N forks=N bound=N adopted=N
 * resumed=N refused_commands=N".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "uffd_manager/protocol.h"

#define MAX_SPACES 1024
#define MAX_CONNECTIONS 1024
#define PAGE 4096ull
#define AGENT_COMMAND (UFFDM_AGENT_FIRST + 1)

struct region {
	uint64_t start, end, offset;
	int file; /* -1: zeros */
	bool mailbox;
};

struct space {
	int uffd; /* 0: unused slot */
	uint64_t token;
	uint64_t features;
	bool adopting;
	size_t count, room;
	struct region *regions;
};

struct connection {
	int socket; /* 0: unused slot */
	struct space *space;
};

static struct space spaces[MAX_SPACES];
static struct connection connections[MAX_CONNECTIONS];
static unsigned long sessions, registers, faults, lazy_faults, forks, bound, adopted, resumed;
static unsigned long refused;
static volatile sig_atomic_t wanted;
static uint64_t next_token = 0x1234;
static uint64_t allowed_features = 0x1ff;
static const char *mishap = "";

static void on_signal(int number)
{
	wanted = number;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct space *new_space(int uffd)
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

static void add_region(struct space *space, struct region region)
{
	if (space->count == space->room) {
		space->room = space->room * 2 + 16;
		space->regions = realloc(space->regions, space->room * sizeof(region));
		if (!space->regions)
			die("realloc");
	}
	space->regions[space->count++] = region;
}

static void cut(struct space *space, uint64_t start, uint64_t end)
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

	faults++;
	memset(page, 0, sizeof(page));
	if (region && region->mailbox)
		memcpy(page, &space->token, sizeof(space->token));
	if (region && region->file >= 0) {
		lazy_faults++;
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
	forks++;
	for (size_t i = 0; i < parent->count; i++) {
		struct region region = parent->regions[i];

		if (region.file >= 0)
			region.file = dup(region.file);
		add_region(child, region);
	}
}

static void serve_uffd(struct space *space)
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

static void answer(int socket, const struct uffdm_header *to, uint16_t type, const void *body,
		   size_t length, int fd)
{
	unsigned char bytes[1024] = {0};
	struct uffdm_header *header = (void *)bytes;
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {bytes, 0};
	struct msghdr frame = {.msg_iov = &part, .msg_iovlen = 1};
	size_t at = sizeof(*header) + length;

	memcpy(bytes + sizeof(*header), body, length);
	if (type == UFFDM_WELCOME || type == UFFDM_ERROR) {
		at = uffdm_put_string(bytes, sizeof(bytes), at, "", 0);
		at = uffdm_put_string(bytes, sizeof(bytes), at, "", 0);
	}
	if (type == UFFDM_GOODBYE)
		at = uffdm_put_string(bytes, sizeof(bytes), at, "", 0);
	*header = (struct uffdm_header){.magic = UFFDM_MAGIC,
					.version = UFFDM_VERSION,
					.type = type,
					.body_length = (uint32_t)(at - sizeof(*header)),
					.request_id = to ? to->request_id : 77,
					.descriptor_count = fd >= 0,
					.flags = to ? UFFDM_HEADER_REPLY : 0};
	if (type == UFFDM_GOODBYE)
		header->request_id = 0;
	part.iov_len = at;
	if (fd >= 0) {
		struct cmsghdr *first;

		frame.msg_control = control;
		frame.msg_controllen = sizeof(control);
		first = CMSG_FIRSTHDR(&frame);
		first->cmsg_level = SOL_SOCKET;
		first->cmsg_type = SCM_RIGHTS;
		first->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(first), &fd, sizeof(fd));
	}
	sendmsg(socket, &frame, MSG_NOSIGNAL);
}

static void answer_error(int socket, const struct uffdm_header *to, int error)
{
	const struct uffdm_error body = {.error = error, .code = UFFDM_CODE_KERNEL};

	answer(socket, to, UFFDM_ERROR, &body, sizeof(body), -1);
}

static void welcome(struct connection *c, const struct uffdm_header *to, uint16_t flags, int fd)
{
	const struct uffdm_welcome body = {.version = UFFDM_VERSION,
					   .flags = flags,
					   .page_size = PAGE,
					   .session_id = c->space ? c->space->token : 0,
					   .resume_token = c->space ? c->space->token : 0,
					   .features_enabled = c->space ? c->space->features : 0};

	answer(c->socket, to, UFFDM_WELCOME, &body, sizeof(body), fd);
}

static bool resume(struct connection *c, uint64_t token)
{
	for (size_t i = 0; i < MAX_SPACES; i++)
		if (spaces[i].uffd && spaces[i].token == token)
			c->space = &spaces[i];
	return c->space != NULL;
}

static void on_hello(struct connection *c, const struct uffdm_header *header, int fd)
{
	const struct uffdm_hello *body = (const void *)(header + 1);
	int device;

	if (strcmp(mishap, "drop-hello") == 0) {
		mishap = "";
		close(c->socket);
		*c = (struct connection){0};
	} else if (body->flags & UFFDM_HELLO_WANT_DEVICE) {
		device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		if (device < 0)
			die("/dev/userfaultfd");
		welcome(c, header, UFFDM_WELCOME_DEVICE, device);
		close(device);
	} else if (body->flags & UFFDM_HELLO_FORK_CHILD) {
		if (!resume(c, body->token)) {
			answer_error(c->socket, header, ENOENT);
			return;
		}
		bound++;
		welcome(c, header, UFFDM_WELCOME_UFFD, c->space->uffd);
	} else if (body->flags & UFFDM_HELLO_RESUME && resume(c, body->token)) {
		resumed++;
		welcome(c, header, UFFDM_WELCOME_RESUMED, -1);
	} else if (body->flags & UFFDM_HELLO_ADOPT) {
		c->space = new_space(dup(fd));
		c->space->adopting = true;
		c->space->features = allowed_features;
		adopted++;
		welcome(c, header, 0, -1);
	} else {
		answer_error(c->socket, header, EINVAL);
	}
}

static void on_attach(struct connection *c, const struct uffdm_header *header, int fd)
{
	const struct uffdm_attach *body = (const void *)(header + 1);
	struct uffdio_api api = {.api = UFFD_API,
				 .features = body->requested_features & allowed_features};

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0) {
		answer_error(c->socket, header, errno);
		return;
	}
	c->space = new_space(dup(fd));
	c->space->features = body->requested_features & allowed_features;
	sessions++;
	welcome(c, header, 0, -1);
}

static void on_register(struct connection *c, const struct uffdm_header *header, int fd)
{
	const struct uffdm_register *body = (const void *)(header + 1);
	struct uffdio_register call = {.range = {body->start, body->length},
				       .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdm_registered reply = {0};

	if (body->flags & UFFDM_REGISTER_SOURCE_FD && strcmp(mishap, "refuse-source") == 0) {
		mishap = "";
		answer_error(c->socket, header, EINVAL);
		return;
	}
	if (!c->space || ioctl(c->space->uffd, UFFDIO_REGISTER, &call) != 0) {
		answer_error(c->socket, header, c->space ? errno : EINVAL);
		return;
	}
	cut(c->space, body->start, body->start + body->length);
	add_region(c->space,
		   (struct region){.start = body->start,
				   .end = body->start + body->length,
				   .offset = body->source_offset,
				   .file = body->flags & UFFDM_REGISTER_SOURCE_FD ? dup(fd) : -1,
				   .mailbox = (body->flags & UFFDM_REGISTER_MAILBOX) != 0});
	registers++;
	if (strncmp(mishap, "die-at-register=", 16) == 0 &&
	    registers == strtoul(mishap + 16, NULL, 10))
		_exit(1);
	answer(c->socket, header, UFFDM_REGISTERED, &reply, sizeof(reply), -1);
}

static void on_wake(struct connection *c, const struct uffdm_header *header)
{
	struct uffdio_range all = {.start = PAGE, .len = (1ull << 47) - 4 * PAGE};
	struct uffdm_done reply = {0};

	if (c->space && c->space->adopting && strcmp(mishap, "drop-wake") == 0) {
		mishap = "";
		close(c->socket);
		*c = (struct connection){0};
		return;
	}
	if (c->space && c->space->adopting) {
		c->space->adopting = false;
		ioctl(c->space->uffd, UFFDIO_WAKE, &all);
	}
	answer(c->socket, header, UFFDM_DONE, &reply, sizeof(reply), -1);
}

static void serve_connection(struct connection *c)
{
	unsigned char bytes[UFFDM_MAX_MESSAGE];
	char control[CMSG_SPACE(sizeof(int) * UFFDM_MAX_DESCRIPTORS)];
	struct iovec part = {bytes, sizeof(bytes)};
	struct msghdr frame = {.msg_iov = &part,
			       .msg_iovlen = 1,
			       .msg_control = control,
			       .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(c->socket, &frame, MSG_CMSG_CLOEXEC);
	const struct uffdm_header *header = (const void *)bytes;
	struct cmsghdr *first = CMSG_FIRSTHDR(&frame);
	int fd = -1;

	if (length <= 0) {
		close(c->socket);
		*c = (struct connection){0};
		return;
	}
	if (first)
		memcpy(&fd, CMSG_DATA(first), sizeof(fd));
	if (!uffdm_frame_is_valid(bytes, (size_t)length, fd >= 0))
		fprintf(stderr, "stand_in_manager: malformed message\n"), exit(1);
	switch (header->type) {
	case UFFDM_HELLO:
		on_hello(c, header, fd);
		break;
	case UFFDM_ATTACH:
		on_attach(c, header, fd);
		break;
	case UFFDM_REGISTER:
		on_register(c, header, fd);
		break;
	case UFFDM_WAKE:
		on_wake(c, header);
		break;
	case UFFDM_ERROR:
		refused +=
			((const struct uffdm_error *)(header + 1))->code == UFFDM_CODE_UNKNOWN_TYPE;
		break;
	default:
		answer_error(c->socket, header, EOPNOTSUPP);
	}
	if (fd >= 0)
		close(fd);
}

static void accept_one(int listener)
{
	int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	for (size_t i = 0; socket >= 0 && i < MAX_CONNECTIONS; i++) {
		if (connections[i].socket == 0) {
			connections[i] = (struct connection){.socket = socket};
			return;
		}
	}
}

static void say_to_all(uint16_t type)
{
	const struct uffdm_goodbye body = {.reason = UFFDM_REASON_SESSION_ENDED};

	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		if (connections[i].socket && connections[i].space)
			answer(connections[i].socket, NULL, type, &body,
			       type == UFFDM_GOODBYE ? sizeof(body) : 0, -1);
}

static void collect_dead(void)
{
	/* EVENT-less death: an ioctl on a dead address space says ESRCH. */
	for (size_t i = 0; i < MAX_SPACES; i++) {
		struct uffdio_zeropage probe = {.range = {PAGE, PAGE}};

		if (spaces[i].uffd && ioctl(spaces[i].uffd, UFFDIO_ZEROPAGE, &probe) != 0 &&
		    errno == ESRCH)
			free_space(&spaces[i]);
	}
}

static void print_counters(void)
{
	printf("sessions=%lu registers=%lu faults=%lu lazy=%lu forks=%lu bound=%lu adopted=%lu "
	       "resumed=%lu refused_commands=%lu\n",
	       sessions, registers, faults, lazy_faults, forks, bound, adopted, resumed, refused);
	fflush(stdout);
}

int main(int count, char **arguments)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sigaction action = {.sa_handler = on_signal};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	static struct pollfd files[1 + MAX_SPACES + MAX_CONNECTIONS];
	static size_t owner[1 + MAX_SPACES + MAX_CONNECTIONS];

	if (count >= 3)
		allowed_features = strtoull(arguments[2], NULL, 0);
	if (count == 4)
		mishap = arguments[3];
	/* The tokens of an earlier one must mean nothing to this one. */
	next_token += (uint64_t)getpid() << 32;
	if (count < 2 || strlen(arguments[1]) >= sizeof(address.sun_path))
		return 64;
	strcpy(address.sun_path, arguments[1]);
	unlink(address.sun_path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128))
		die(arguments[1]);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	puts("ready");
	fflush(stdout);
	for (unsigned long round = 0;; round++) {
		size_t used = 1;
		size_t of_spaces;

		files[0] = (struct pollfd){.fd = listener, .events = POLLIN};
		for (size_t i = 0; i < MAX_SPACES; i++) {
			/* A fork that is read before the regions are known would have none. */
			if (spaces[i].uffd && !spaces[i].adopting) {
				owner[used] = i;
				files[used++] = (struct pollfd){spaces[i].uffd, POLLIN, 0};
			}
		}
		of_spaces = used;
		for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
			if (connections[i].socket) {
				owner[used] = i;
				files[used++] = (struct pollfd){connections[i].socket, POLLIN, 0};
			}
		}
		if (poll(files, used, 100) < 0 && errno != EINTR)
			die("poll");
		if (wanted == SIGTERM)
			break;
		if (wanted == SIGHUP)
			print_counters();
		else if (wanted)
			say_to_all(wanted == SIGUSR1 ? AGENT_COMMAND : UFFDM_GOODBYE);
		wanted = 0;
		for (size_t i = 1; i < used; i++) {
			if (!files[i].revents)
				continue;
			if (i < of_spaces)
				serve_uffd(&spaces[owner[i]]);
			else
				serve_connection(&connections[owner[i]]);
		}
		if (files[0].revents)
			accept_one(listener);
		if (round % 64 == 0)
			collect_dead();
	}
	print_counters();
	return 0;
}
