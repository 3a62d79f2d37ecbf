#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

static int page_size_keys(char *buffer, size_t size, uint64_t page_size, enum json_style style)
{
	switch (style) {
	case JSON_PLAIN:
		break;
	case JSON_SIZE_KIB:
		return snprintf(buffer, size, ",\"page_size_kib\":%lu", page_size);
	case JSON_BOTH:
		return snprintf(buffer, size, ",\"page_size\":%lu,\"page_size_kib\":%lu", page_size,
				page_size);
	case JSON_SIZE:
		return snprintf(buffer, size, ",\"page_size\":%lu", page_size);
	}
	return 0;
}

size_t handover_message(char *buffer, size_t size, const struct memory *memory,
			const struct version *version, bool unknown)
{
	size_t at = 0;

	for (unsigned int i = 0; i < memory->count; i++) {
		const struct region *region = &memory->region[i];

		at += (size_t)snprintf(buffer + at, size - at,
				       "%s{\"base_host_virt_addr\":%lu,\"size\":%lu,\"offset\":%lu",
				       i ? "," : "[", (uint64_t)(uintptr_t)region->base,
				       region->size, region->offset);
		at += (size_t)page_size_keys(buffer + at, size - at, memory->page_size,
					     version->json);
		if (unknown)
			at += (size_t)snprintf(buffer + at, size - at,
					       ",\"gpa_start\":%lu,\"is_guest_memfd\":false,"
					       "\"labels\":{\"a\":[1,\"]}\",null]}",
					       region->offset);
		at += (size_t)snprintf(buffer + at, size - at, "}");
	}
	at += (size_t)snprintf(buffer + at, size - at, "]");
	return at;
}

int handover_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int directory = -1;

	if (fd < 0)
		report_setup(errno, "socket");
	if (strlen(path) < sizeof(address.sun_path)) {
		strcpy(address.sun_path, path);
	} else {
		char parent[4096];
		const char *name = strrchr(path, '/');

		if (!name || strlen(path) >= sizeof(parent))
			report_setup(ENAMETOOLONG, "%s", path);
		snprintf(parent, sizeof(parent), "%.*s", (int)(name - path), path);
		directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (directory < 0 ||
		    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d%s",
			     directory, name) >= (int)sizeof(address.sun_path))
			report_setup(directory < 0 ? errno : ENAMETOOLONG, "%s", path);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		report_fail("%s: %s", path, strerror(errno));
	if (directory >= 0)
		close(directory);
	return fd;
}

static int send_once(int socket, const char *bytes, size_t length, const int *descriptors,
		     unsigned int count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
	}
	ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);

	if (sent < 0)
		return errno;
	return (size_t)sent == length ? 0 : EMSGSIZE;
}

int handover_send(int socket, const char *bytes, size_t length, const int *descriptors,
		  unsigned int count, unsigned int pace)
{
	if (pace == 0)
		return send_once(socket, bytes, length, descriptors, count);
	for (size_t i = 0; i < length; i++) {
		int error = send_once(socket, bytes + i, 1, descriptors, i == 0 ? count : 0);

		if (error)
			return error;
		/* The pace is what is emulated: a sender whose message comes in pieces. */
		nanosleep(&(struct timespec){.tv_nsec = pace * 1000l}, NULL);
	}
	return 0;
}

void handover(const char *path, const struct memory *memory, const struct version *version,
	      bool unknown, unsigned int pace)
{
	int descriptors[] = {memory->uffd, memory->memfd};
	char message[8192];
	size_t length = handover_message(message, sizeof(message), memory, version, unknown);
	int socket = handover_connect(path);
	int error = handover_send(socket, message, length, descriptors, memory->memfd >= 0 ? 2 : 1,
				  pace);

	if (error)
		report_refused(error, "the message could not be sent");
	if (!version->keeps_socket)
		close(socket);
	report_line("handed-over version=%s regions=%u bytes=%lu page-size=%lu message=%zu",
		    version->name, memory->count, memory->length, memory->page_size, length);
}
