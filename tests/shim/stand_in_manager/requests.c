/* requests.c - what comes by the connections, and how it is answered. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stand_in.h"

struct connection connections[MAX_CONNECTIONS];

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
		counters.bound++;
		welcome(c, header, UFFDM_WELCOME_UFFD, c->space->uffd);
	} else if (body->flags & UFFDM_HELLO_RESUME && resume(c, body->token)) {
		counters.resumed++;
		welcome(c, header, UFFDM_WELCOME_RESUMED, -1);
	} else if (body->flags & UFFDM_HELLO_ADOPT) {
		c->space = new_space(dup(fd));
		c->space->adopting = true;
		c->space->features = allowed_features;
		counters.adopted++;
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
	counters.sessions++;
	welcome(c, header, 0, -1);
}

/* Opens the file of the peer's mapping that begins here. */
static int open_mapped(const struct connection *c, uint64_t start)
{
	unsigned long from = 0, to = 0;
	char line[512];
	char path[80];
	FILE *maps;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/maps", c->peer);
	maps = fopen(path, "re");
	if (!maps)
		die(path);
	while (from != start && fgets(line, sizeof(line), maps))
		sscanf(line, "%lx-%lx", &from, &to);
	fclose(maps);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", c->peer, from, to);
	file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		die(path);
	return file;
}

/* Has the kernel put pages of zeros where none are: nobody is registered there yet. False if
 * they have not come alone: the pages around them may be other mappings' too. */
static bool peek(const struct connection *c, uint64_t start)
{
	char path[32];
	unsigned char page[PAGE];
	struct stat status;
	int memory;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/mem", c->peer);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t i = 1; i < 64; i += 2)
		if (pread(memory, page, PAGE, (off_t)(start + i * PAGE)) != PAGE || page[0] != 0)
			die(path);
	close(memory);
	file = open_mapped(c, start);
	if (fstat(file, &status))
		die("fstat of the stub");
	close(file);
	return status.st_blocks == 32 * (PAGE / 512);
}

static void fill_stub(const struct connection *c, uint64_t start)
{
	static const unsigned char zeros[PAGE];
	int stub = open_mapped(c, start);
	struct stat status;

	if (fstat(stub, &status))
		die("fstat of the stub");
	for (off_t at = 0; at + (off_t)PAGE <= status.st_size; at += PAGE)
		if (pwrite(stub, zeros, PAGE, at) != PAGE)
			die("fill the stub");
	close(stub);
}

static void on_register(struct connection *c, const struct uffdm_header *header, int fd)
{
	const struct uffdm_register *body = (const void *)(header + 1);
	struct uffdio_register call = {.range = {body->start, body->length},
				       .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdm_registered reply = {0};

	if (body->flags & UFFDM_REGISTER_SOURCE_FD && strcmp(mishap, "fill-stub") == 0 &&
	    body->length == 8 * PAGE) {
		mishap = "";
		fill_stub(c, body->start);
	}
	if (body->flags & UFFDM_REGISTER_SOURCE_FD && strstr(mishap, "-source")) {
		bool refuses = strstr(mishap, "refuse-") != NULL;

		if (strncmp(mishap, "peek-", 5) == 0 && !peek(c, body->start))
			refuses = true;
		mishap = "";
		if (refuses) {
			answer_error(c->socket, header, EAGAIN);
			return;
		}
	}
	if (strncmp(mishap, "die-before-register=", 20) == 0 &&
	    counters.registers + 1 == strtoul(mishap + 20, NULL, 10))
		_exit(1);
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
	counters.registers++;
	if (strncmp(mishap, "die-at-register=", 16) == 0 &&
	    counters.registers == strtoul(mishap + 16, NULL, 10))
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

void serve_connection(struct connection *c)
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
		counters.refused +=
			((const struct uffdm_error *)(header + 1))->code == UFFDM_CODE_UNKNOWN_TYPE;
		break;
	default:
		answer_error(c->socket, header, EOPNOTSUPP);
	}
	if (fd >= 0)
		close(fd);
}

void say_to_all(uint16_t type)
{
	const struct uffdm_goodbye body = {.reason = UFFDM_REASON_SESSION_ENDED};

	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		if (connections[i].socket && connections[i].space)
			answer(connections[i].socket, NULL, type, &body,
			       type == UFFDM_GOODBYE ? sizeof(body) : 0, -1);
}
