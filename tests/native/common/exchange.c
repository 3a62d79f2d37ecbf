#include "exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watch.h"

void request_prepare(struct request *request, uint16_t type, size_t fixed, uint16_t answer,
		     const char *const *strings)
{
	size_t end = sizeof(request->header) + fixed;

	for (; strings && *strings; strings++)
		end = uffdm_put_string(request,
				       sizeof(request->header) + sizeof(request->body) +
					       sizeof(request->strings),
				       end, *strings, strlen(*strings));
	if (end == 0)
		watch_fail("a name is too long");
	request->header = (struct uffdm_header){
		.magic = UFFDM_MAGIC,
		.version = UFFDM_VERSION,
		.type = type,
		.body_length = (uint32_t)(end - sizeof(request->header)),
		.descriptor_count = request->descriptor >= 0,
	};
	request->length = end;
	request->answer = answer;
}

/* False when the connection is broken. */
static bool send_request(struct link *link, struct request *request)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = request, .iov_len = request->length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	request->header.request_id = ++link->next_id;
	if (request->descriptor >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &request->descriptor, sizeof(int));
	}
	ssize_t sent;

	do
		sent = sendmsg(link->socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)request->length;
}

/* One packet; false when the connection is broken. */
static bool receive(struct link *link, struct answer *answer)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = answer->bytes, .iov_len = sizeof(answer->bytes)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got;

	do
		got = recvmsg(link->socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	answer->descriptor = -1;
	if (got <= 0)
		return false;
	if (message.msg_controllen >= sizeof(struct cmsghdr) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&answer->descriptor, CMSG_DATA(&control.header), sizeof(int));
	answer->length = (size_t)got;
	if (!uffdm_frame_is_valid(answer->bytes, answer->length, answer->descriptor >= 0))
		watch_fail("a malformed message of %zd bytes from the manager", got);
	return true;
}

const void *answer_body(const struct answer *answer, size_t length)
{
	if (answer->length < sizeof(answer->header) + length)
		watch_fail("an answer of type %u with %zu bytes is too short", answer->header.type,
			   answer->length);
	return answer->bytes + sizeof(answer->header);
}

bool exchange(struct link *link, struct request *request, struct answer *answer)
{
	if (!send_request(link, request))
		return false;
	for (;;) {
		if (!receive(link, answer))
			return false;
		if (answer->header.request_id == link->next_id)
			break;
		if (answer->descriptor >= 0)
			close(answer->descriptor);
		/* GOODBYE, or an error about the whole connection: its end comes next. */
	}
	if (answer->header.type != UFFDM_ERROR && answer->header.type != request->answer)
		watch_fail("an answer of type %u to a request of type %u", answer->header.type,
			   request->header.type);
	return true;
}

const struct uffdm_error *answer_error(const struct answer *answer)
{
	return answer->header.type == UFFDM_ERROR ? answer_body(answer, sizeof(struct uffdm_error))
						  : NULL;
}

void answer_refused(const struct answer *answer, const char *what)
{
	const struct uffdm_error *error = answer_error(answer);
	const char *tenant, *text = "";
	size_t tenant_length, text_length = 0;
	size_t at =
		uffdm_get_string(answer->bytes, answer->length,
				 sizeof(answer->header) + sizeof(*error), &tenant, &tenant_length);

	uffdm_get_string(answer->bytes, answer->length, at, &text, &text_length);
	watch_fail("%s was refused: code %u, errno %d: %.*s", what, error->code, error->error,
		   (int)text_length, text);
}
