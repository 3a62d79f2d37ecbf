#include "session.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reference.h"
#include "uffd.h"
#include "uffd_manager/protocol.h"

#define LABEL "uffd-bench-client"

__attribute__((format(printf, 3, 4))) static int fail(struct session *session, int error,
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(session->error, sizeof(session->error), format, arguments);
	va_end(arguments);
	return error != 0 ? error : EPROTO;
}

/* Sends one packet, with a descriptor if `fd` is not -1. */
static int send_packet(struct session *session, const void *bytes, size_t length, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	if (sendmsg(session->socket, &message, MSG_NOSIGNAL) != (ssize_t)length)
		return fail(session, errno, "sendmsg: %s", strerror(errno));
	return 0;
}

/* The part of a native message in front of its strings. */
struct native_request {
	struct uffdm_header header;
	union {
		struct uffdm_hello hello;
		struct uffdm_register reg;
		struct uffdm_range range;
		struct uffdm_map map;
	} body;
	char strings[256];
};

static int native_error(struct session *session, const void *reply, size_t length)
{
	const struct uffdm_error *error =
		(const void *)((const char *)reply + sizeof(struct uffdm_header));
	const char *tenant;
	const char *text;
	size_t tenant_length;
	size_t text_length;
	size_t at = uffdm_get_string(reply, length, sizeof(struct uffdm_header) + sizeof(*error),
				     &tenant, &tenant_length);

	if (uffdm_get_string(reply, length, at, &text, &text_length) == 0)
		return fail(session, EPROTO, "malformed ERROR");
	return fail(session, error->error, "refused: %.*s (%s, code %u)", (int)text_length, text,
		    strerror(error->error), error->code);
}

/* One packet; what comes with it replaces `*fd`. Returns as recv(2). */
static ssize_t receive_packet(struct session *session, void *bytes, size_t length, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = length};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(session->socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return got;
}

/*
 * Sends a request of `fixed` body bytes and then `strings`, and awaits its answer of type
 * `expected`, whose body's beginning goes to `answer`. `*fd` goes with the request if it is not -1,
 * and is replaced by what comes with the answer.
 */
static int native_call(struct session *session, struct native_request *request, uint16_t type,
		       size_t fixed, const char *const *strings, int *fd, uint16_t expected,
		       void *answer, size_t answer_length)
{
	static __thread char reply[UFFDM_MAX_MESSAGE];
	const struct uffdm_header *header = (const void *)reply;
	size_t end = sizeof(request->header) + fixed;

	for (; strings && *strings; strings++)
		end = uffdm_put_string(request, sizeof(*request), end, *strings, strlen(*strings));
	if (end == 0)
		return fail(session, ENAMETOOLONG, "a name is too long");
	request->header = (struct uffdm_header){
		.magic = UFFDM_MAGIC,
		.version = UFFDM_VERSION,
		.type = type,
		.body_length = (uint32_t)(end - sizeof(request->header)),
		.request_id = ++session->next_id,
		.descriptor_count = *fd >= 0,
	};
	int error = send_packet(session, request, end, *fd);

	if (error)
		return error;
	*fd = -1;
	for (;;) {
		ssize_t got = receive_packet(session, reply, sizeof(reply), fd);

		if (got <= 0)
			return fail(session, got < 0 ? errno : ECONNRESET, "no answer: %s",
				    got < 0 ? strerror(errno)
					    : "the manager closed the connection");
		if (!uffdm_frame_is_valid(reply, (size_t)got, header->descriptor_count))
			return fail(session, EPROTO, "malformed answer");
		if (header->request_id != session->next_id)
			continue;
		if (header->type == UFFDM_ERROR)
			return native_error(session, reply, (size_t)got);
		if (header->type != expected || header->body_length < answer_length)
			return fail(session, EPROTO, "answer of type %u, not %u", header->type,
				    expected);
		if (answer_length > 0)
			memcpy(answer, reply + sizeof(*header), answer_length);
		return 0;
	}
}

static int reference_call(struct session *session, enum reference_command command,
			  const void *start, uint64_t length, int fd)
{
	struct reference_request request = {
		.command = command,
		.start = (uint64_t)(uintptr_t)start,
		.length = length,
	};
	struct reference_reply reply;
	int error = send_packet(session, &request, sizeof(request), fd);

	if (error)
		return error;
	ssize_t got = recv(session->socket, &reply, sizeof(reply), 0);

	if (got != sizeof(reply))
		return fail(session, got < 0 ? errno : ECONNRESET, "the reference handler is gone");
	if (reply.error)
		return fail(session, (int)reply.error, "command %d: %s", (int)command,
			    strerror((int)reply.error));
	return 0;
}

static int make_uffd(struct session *session)
{
	session->uffd = uffd_create();
	if (session->uffd < 0)
		return fail(session, errno, "no userfaultfd: %s", strerror(errno));
	return 0;
}

static int connect_to(struct session *session, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(session, ENAMETOOLONG, "%s: path too long", path);
	strcpy(address.sun_path, path);
	session->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (session->socket < 0 ||
	    connect(session->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail(session, errno, "%s: %s", path, strerror(errno));
	return 0;
}

int session_open(struct session *session, const struct session_options *options)
{
	*session = (struct session){.protocol = options->protocol, .socket = -1, .uffd = -1};
	int error = connect_to(session, options->socket_path);

	if (!error)
		error = make_uffd(session);
	if (error)
		return error;
	if (session->protocol == PROTOCOL_REFERENCE)
		return reference_call(session, REFERENCE_ATTACH, NULL, 0, session->uffd);

	const char *const strings[] = {LABEL, options->policy, NULL};
	struct native_request request = {
		.body.hello = {.min_version = UFFDM_VERSION,
			       .max_version = UFFDM_VERSION,
			       .flags = UFFDM_HELLO_HAS_UFFD,
			       .requested_features = options->shares
							     ? UFFD_FEATURE_MISSING_SHMEM |
								       UFFD_FEATURE_MINOR_SHMEM
							     : 0},
	};
	int uffd = session->uffd;

	return native_call(session, &request, UFFDM_HELLO, sizeof(request.body.hello), strings,
			   &uffd, UFFDM_WELCOME, NULL, 0);
}

int session_register(struct session *session, void *start, uint64_t length, int image)
{
	if (session->protocol == PROTOCOL_REFERENCE)
		return reference_call(session, REFERENCE_REGISTER, start, length, -1);

	const char *const strings[] = {"", "", NULL};
	struct native_request request = {
		.body.reg = {.start = (uint64_t)(uintptr_t)start,
			     .length = length,
			     .modes = UFFDM_MODE_MISSING,
			     .flags = image >= 0 ? UFFDM_REGISTER_SOURCE_FD : 0},
	};

	return native_call(session, &request, UFFDM_REGISTER, sizeof(request.body.reg), strings,
			   &image, UFFDM_REGISTERED, NULL, 0);
}

int session_map(struct session *session, uint64_t length, int image, int *memfd, uint64_t *map_id)
{
	const char *const strings[] = {"", "", "", NULL};
	struct uffdm_mapped mapped = {0};
	struct native_request request = {
		.body.map = {.length = length, .flags = UFFDM_MAP_SOURCE_FD},
	};

	*memfd = image;
	int error = native_call(session, &request, UFFDM_MAP, sizeof(request.body.map), strings,
				memfd, UFFDM_MAPPED, &mapped, sizeof(mapped));

	*map_id = mapped.map_id;
	if (!error && *memfd < 0)
		return fail(session, EPROTO, "MAPPED without a descriptor");
	return error;
}

int session_register_mapped(struct session *session, void *start, uint64_t length, uint64_t map_id)
{
	const char *const strings[] = {"", "", NULL};
	struct native_request request = {
		.body.reg = {.start = (uint64_t)(uintptr_t)start,
			     .length = length,
			     .modes = UFFDM_MODE_MISSING | UFFDM_MODE_MINOR,
			     .flags = UFFDM_REGISTER_FROM_MAP,
			     .map_id = map_id},
	};
	int none = -1;

	return native_call(session, &request, UFFDM_REGISTER, sizeof(request.body.reg), strings,
			   &none, UFFDM_REGISTERED, NULL, 0);
}

static int native_range(struct session *session, uint16_t type, void *start, uint64_t length,
			uint64_t *value)
{
	struct uffdm_done done = {0};
	struct native_request request = {
		.body.range = {.start = (uint64_t)(uintptr_t)start, .length = length},
	};
	int none = -1;
	int error = native_call(session, &request, type, sizeof(request.body.range), NULL, &none,
				UFFDM_DONE, &done, sizeof(done));

	*value = done.value;
	return error;
}

int session_unregister(struct session *session, void *start, uint64_t length)
{
	uint64_t ignored;

	if (session->protocol == PROTOCOL_REFERENCE)
		return reference_call(session, REFERENCE_UNREGISTER, start, length, -1);
	return native_range(session, UFFDM_UNREGISTER, start, length, &ignored);
}

int session_populate(struct session *session, void *start, uint64_t length)
{
	uint64_t installed;

	if (session->protocol == PROTOCOL_REFERENCE)
		return reference_call(session, REFERENCE_POPULATE, start, length, -1);
	int error = native_range(session, UFFDM_PREFETCH, start, length, &installed);

	if (!error && installed != length)
		return fail(session, EPROTO, "only %llu of %llu bytes were installed",
			    (unsigned long long)installed, (unsigned long long)length);
	return error;
}

void session_close(struct session *session)
{
	if (session->uffd >= 0)
		close(session->uffd);
	if (session->socket >= 0)
		close(session->socket);
	session->uffd = session->socket = -1;
}
