#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include "wire.h"
#include "sys.h"

#define REQUEST_ID 1u

static void close_file(int fd)
{
	if (fd >= 0)
		sys1(SYS_close, fd);
}

void wire_set_timeout(int socket, unsigned timeout_ms)
{
	struct timeval timeout = {.tv_sec = timeout_ms / 1000,
				  .tv_usec = (long)(timeout_ms % 1000) * 1000};

	sys5(SYS_setsockopt, socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	sys5(SYS_setsockopt, socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

int wire_connect(const char *path, unsigned timeout_ms)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = 0;
	long fd;
	long result;

	while (path[length] && length < sizeof(address.sun_path) - 1) {
		address.sun_path[length] = path[length];
		length++;
	}
	if (path[length])
		return -ENAMETOOLONG;
	fd = sys3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	wire_set_timeout((int)fd, timeout_ms);
	do
		result = sys3(SYS_connect, fd, &address,
			      offsetof(struct sockaddr_un, sun_path) + length + 1);
	while (result == -EINTR);
	if (result < 0) {
		close_file((int)fd);
		return (int)result;
	}
	return (int)fd;
}

void wire_begin(struct wire_message *message, uint16_t type, const void *body, size_t length)
{
	const unsigned char *from = body;

	message->header = (struct uffdm_header){
		.magic = UFFDM_MAGIC,
		.version = UFFDM_VERSION,
		.type = type,
		.request_id = REQUEST_ID,
	};
	message->length = sizeof(message->header) + length;
	message->file = -1;
	for (size_t i = 0; i < length; i++)
		message->bytes[sizeof(message->header) + i] = from[i];
}

void wire_add_string(struct wire_message *message, const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	message->length =
		uffdm_put_string(message->bytes, WIRE_MESSAGE, message->length, text, length);
}

/* Borrows message->file. */
static int send_message(int socket, struct wire_message *message)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = message->bytes, .iov_len = message->length};
	struct msghdr frame = {.msg_iov = &part, .msg_iovlen = 1};
	long result;

	if (message->length == 0)
		return -EMSGSIZE;
	message->header.body_length = (uint32_t)(message->length - sizeof(message->header));
	if (message->file >= 0) {
		message->header.descriptor_count = 1;
		frame.msg_control = &control;
		frame.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)CMSG_DATA(&control.header) = message->file;
	}
	do
		result = sys3(SYS_sendmsg, socket, &frame, MSG_NOSIGNAL);
	while (result == -EINTR);
	return result < 0 ? (int)result : 0;
}

static int receive_message(int socket, struct wire_message *message, int flags)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * UFFDM_MAX_DESCRIPTORS)];
	} control;
	struct iovec part = {.iov_base = message->bytes, .iov_len = WIRE_MESSAGE};
	struct msghdr frame = {.msg_iov = &part,
			       .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof(control)};
	size_t files = 0;
	long result;

	message->file = -1;
	do
		result = sys3(SYS_recvmsg, socket, &frame, flags | MSG_CMSG_CLOEXEC);
	while (result == -EINTR);
	if (result < 0)
		return (int)result;
	if (frame.msg_controllen >= sizeof(control.header) &&
	    control.header.cmsg_level == SOL_SOCKET && control.header.cmsg_type == SCM_RIGHTS) {
		const int *fds = (const int *)CMSG_DATA(&control.header);

		files = (control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < files; i++) {
			if (i == 0)
				message->file = fds[i];
			else
				close_file(fds[i]);
		}
	}
	message->length = (size_t)result;
	if (result == 0)
		return -EPIPE;
	if ((frame.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    !uffdm_frame_is_valid(message->bytes, message->length, files)) {
		close_file(message->file);
		message->file = -1;
		return -EPROTO;
	}
	return 0;
}

/* The place where the manager's commands to the agent (0x40-0x5f) will be told apart. None is
 * defined in this version of the protocol. */
static void refuse_command(int socket, const struct wire_message *command)
{
	static const char text[] = "not known to this agent";
	const struct uffdm_error body = {.error = EOPNOTSUPP, .code = UFFDM_CODE_UNKNOWN_TYPE};
	struct wire_message answer;

	if (command->header.request_id == 0)
		return;
	wire_begin(&answer, UFFDM_ERROR, &body, sizeof(body));
	answer.header.flags = UFFDM_HEADER_REPLY;
	answer.header.request_id = command->header.request_id;
	wire_add_string(&answer, "");
	wire_add_string(&answer, text);
	send_message(socket, &answer);
}

static void take_unsolicited(int socket, struct wire_message *message, struct wire_events *events)
{
	close_file(message->file);
	message->file = -1;
	if (message->header.type == UFFDM_GOODBYE &&
	    message->length >= sizeof(message->header) + sizeof(struct uffdm_goodbye)) {
		const struct uffdm_goodbye *body = (const void *)(&message->header + 1);

		events->goodbye = true;
		events->reason = body->reason;
		return;
	}
	if (!(message->header.flags & UFFDM_HEADER_REPLY))
		refuse_command(socket, message);
}

static int error_of(const struct wire_message *message)
{
	const struct uffdm_error *body = (const void *)(&message->header + 1);

	if (message->length < sizeof(message->header) + sizeof(*body))
		return -EPROTO;
	return body->error > 0 && body->error < 4096 ? -body->error : -EPROTO;
}

int wire_request(int socket, struct wire_message *message, uint16_t want,
		 struct wire_events *events)
{
	int result = send_message(socket, message);

	while (result == 0) {
		result = receive_message(socket, message, 0);
		if (result == -ECONNRESET)
			result = -EPIPE;
		if (result)
			break;
		if (!(message->header.flags & UFFDM_HEADER_REPLY) ||
		    message->header.request_id != REQUEST_ID) {
			take_unsolicited(socket, message, events);
			continue;
		}
		if (message->header.type == want)
			return 0;
		result = message->header.type == UFFDM_ERROR ? error_of(message) : -EPROTO;
		close_file(message->file);
		message->file = -1;
	}
	return result;
}

int wire_unsolicited(int socket, struct wire_events *events)
{
	struct wire_message message;
	int result = receive_message(socket, &message, MSG_DONTWAIT);

	if (result == -EAGAIN)
		return 0;
	if (result == -EPROTO)
		return 1;
	if (result)
		return -EPIPE;
	take_unsolicited(socket, &message, events);
	return 1;
}

int wire_register(int socket, const struct wire_register *range, struct wire_events *events)
{
	const struct uffdm_register body = {
		.start = range->start,
		.length = range->length,
		.modes = UFFDM_MODE_MISSING,
		.flags = range->flags,
		.source_offset = range->offset,
	};
	struct wire_message message;

	wire_begin(&message, UFFDM_REGISTER, &body, sizeof(body));
	wire_add_string(&message, "");
	wire_add_string(&message, "");
	if (range->flags & UFFDM_REGISTER_SOURCE_FD)
		message.file = range->file;
	return wire_request(socket, &message, UFFDM_REGISTERED, events);
}
