#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "uffd_manager/protocol.h"
#include "watch.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* Newer than the headers that this must build with: WP_UNPOPULATED (bit 13), POISON (bit 14). */
#define FEATURES                                                                                   \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |     \
	 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_MISSING_HUGETLBFS |   \
	 UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
	 1ull << 13 | 1ull << 14)
#define NEEDED                                                                                     \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |          \
	 UFFD_FEATURE_EVENT_UNMAP)

struct request {
	struct uffdm_header header;
	union {
		struct uffdm_hello hello;
		struct uffdm_register reg;
		struct uffdm_range range;
		struct uffdm_map map;
		struct uffdm_write_protect protect;
	} body;
	char strings[256];
	size_t length;
	int descriptor;	 /* goes with it, or -1 */
	uint16_t answer; /* the type that answers it */
};

struct answer {
	union {
		struct uffdm_header header;
		char bytes[4096];
	};
	size_t length;
	int descriptor;
};

static void prepare(struct request *request, uint16_t type, size_t fixed, uint16_t answer,
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

static const void *body_of(const struct answer *answer, size_t length)
{
	if (answer->length < sizeof(answer->header) + length)
		watch_fail("an answer of type %u with %zu bytes is too short", answer->header.type,
			   answer->length);
	return answer->bytes + sizeof(answer->header);
}

/* Sends and awaits the answer, which may be an ERROR; false when the connection is broken. */
static bool ask(struct link *link, struct request *request, struct answer *answer)
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

static const struct uffdm_error *error_of(const struct answer *answer)
{
	return answer->header.type == UFFDM_ERROR ? body_of(answer, sizeof(struct uffdm_error))
						  : NULL;
}

static _Noreturn void refused(const struct answer *answer, const char *what)
{
	const struct uffdm_error *error = error_of(answer);
	const char *tenant, *text = "";
	size_t tenant_length, text_length = 0;
	size_t at =
		uffdm_get_string(answer->bytes, answer->length,
				 sizeof(answer->header) + sizeof(*error), &tenant, &tenant_length);

	uffdm_get_string(answer->bytes, answer->length, at, &text, &text_length);
	watch_fail("%s was refused: code %u, errno %d: %.*s", what, error->code, error->error,
		   (int)text_length, text);
}

static bool connect_once(struct link *link)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(link->path) >= sizeof(address.sun_path))
		watch_fail("%s: path too long", link->path);
	strcpy(address.sun_path, link->path);
	link->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->socket < 0)
		watch_fail("socket: %s", strerror(errno));
	if (connect(link->socket, (struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	if (errno != ECONNREFUSED && errno != ENOENT && errno != EAGAIN && errno != EINTR)
		watch_fail("connect to %s: %s", link->path, strerror(errno));
	close(link->socket);
	link->socket = -1;
	return false;
}

/* A manager that is stopping, or has no room for the moment: the next one will answer. */
static bool passes(const struct uffdm_error *error)
{
	return error->code == UFFDM_CODE_SHUTTING_DOWN ||
	       (error->code == UFFDM_CODE_LIMIT && error->error == EMFILE);
}

/* Connects and says HELLO; false if there is nobody at the moment who would welcome it. */
static bool greet_once(struct link *link, uint32_t flags, uint64_t token, int descriptor,
		       struct answer *answer)
{
	const char *const strings[] = {link->label, link->policy, NULL};
	struct request request = {
		.descriptor = descriptor,
		.body.hello = {.min_version = UFFDM_VERSION,
			       .max_version = UFFDM_VERSION,
			       .flags = flags,
			       .requested_features = FEATURES,
			       .token = token},
	};

	link_close(link);
	prepare(&request, UFFDM_HELLO, sizeof(request.body.hello), UFFDM_WELCOME, strings);
	if (!connect_once(link) || !ask(link, &request, answer))
		return false;
	const struct uffdm_error *error = error_of(answer);

	if (error && passes(error))
		return false;
	if (error)
		refused(answer, "HELLO");
	const struct uffdm_welcome *welcome = body_of(answer, sizeof(*welcome));

	link->session = welcome->session_id;
	link->token = welcome->resume_token;
	link->features = welcome->features_enabled;
	return true;
}

static void be_patient(const struct link *link, int64_t since)
{
	if (watch_now() - since > (int64_t)link->patience * 1000000000)
		watch_fail("no manager has answered HELLO for %u s", link->patience);
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* The same until somebody does; the flags of the WELCOME. */
static uint16_t greet(struct link *link, uint32_t flags, uint64_t token, int descriptor,
		      struct answer *answer)
{
	int64_t since = watch_now();

	while (!greet_once(link, flags, token, descriptor, answer))
		be_patient(link, since);
	return ((const struct uffdm_welcome *)body_of(answer, sizeof(struct uffdm_welcome)))->flags;
}

static void reconnect(struct link *link)
{
	uint32_t flags = UFFDM_HELLO_RESUME;
	uint64_t session = link->session;
	struct answer answer;

	if (link->uffd >= 0)
		flags |= UFFDM_HELLO_HAS_UFFD | UFFDM_HELLO_API_DONE | UFFDM_HELLO_ADOPT |
			 UFFDM_HELLO_KEEPS_DESCRIPTOR;
	if (!(greet(link, flags, link->token, link->uffd, &answer) & UFFDM_WELCOME_RESUMED))
		watch_fail("session %lu was not resumed: it is lost", session);
	if (link->session != session)
		watch_fail("session %lu was resumed as %lu", session, link->session);
	watch->reconnects++;
}

/* Asks until it is answered, over as many connections as it takes: every request of ours may be
 * carried out twice without harm. */
static void call(struct link *link, struct request *request, struct answer *answer)
{
	pthread_mutex_lock(&link->lock);
	/* A manager that says it is about to go has not done it; its successor is asked again. */
	while (!ask(link, request, answer) ||
	       (error_of(answer) && error_of(answer)->code == UFFDM_CODE_SHUTTING_DOWN)) {
		reconnect(link);
		watch->resent++;
	}
	pthread_mutex_unlock(&link->lock);
}

static int make_uffd(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int uffd;

	if (device >= 0) {
		uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	} else {
		uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	}
	if (uffd < 0)
		watch_fail("no userfaultfd: %s", strerror(errno));
	return uffd;
}

void link_open(struct link *link)
{
	struct answer answer;
	uint32_t flags = UFFDM_HELLO_HAS_UFFD | (link->keeper ? UFFDM_HELLO_KEEPS_DESCRIPTOR : 0);
	int64_t since = watch_now();

	pthread_mutex_init(&link->lock, NULL);
	link->socket = -1;
	link->uffd = make_uffd();
	/* Who was not answered does not know what has become of the one that it sent. */
	while (!greet_once(link, flags, 0, link->uffd, &answer)) {
		be_patient(link, since);
		close(link->uffd);
		link->uffd = make_uffd();
	}
	if ((link->features & NEEDED) != NEEDED)
		watch_fail("features 0x%lx lack some of 0x%llx", link->features,
			   (unsigned long long)NEEDED);
	if (!link->keeper) {
		close(link->uffd);
		link->uffd = -1;
	}
}

void link_open_child(struct link *link, uint64_t mailbox)
{
	struct answer answer;
	uint32_t flags = UFFDM_HELLO_FORK_CHILD | (link->keeper ? UFFDM_HELLO_KEEPS_DESCRIPTOR : 0);

	pthread_mutex_init(&link->lock, NULL);
	link->socket = -1;
	if (!(greet(link, flags, mailbox, -1, &answer) & UFFDM_WELCOME_UFFD))
		watch_fail("a forked child was welcomed without its userfaultfd");
	link->uffd = answer.descriptor;
	if (!link->keeper) {
		close(link->uffd);
		link->uffd = -1;
	}
}

void link_register(struct link *link, const struct link_range *range)
{
	const char *const strings[] = {range->policy ? range->policy : "",
				       range->path ? range->path : "", NULL};
	struct request request = {
		.descriptor = range->source,
		.body.reg = {.start = range->start,
			     .length = range->length,
			     .modes = range->modes,
			     .flags = range->flags |
				      (range->source >= 0 ? UFFDM_REGISTER_SOURCE_FD : 0),
			     .source_offset = range->offset,
			     .map_id = range->map_id},
	};
	struct answer answer;

	prepare(&request, UFFDM_REGISTER, sizeof(request.body.reg), UFFDM_REGISTERED, strings);
	call(link, &request, &answer);
	if (error_of(&answer))
		refused(&answer, "REGISTER");
}

int link_map(struct link *link, uint64_t length, int source, const char *path, const char *name,
	     uint64_t *map_id)
{
	const char *const strings[] = {"", path ? path : "", name, NULL};
	struct request request = {
		.descriptor = path ? -1 : source,
		.body.map = {.length = length,
			     .flags = (path ? 0 : UFFDM_MAP_SOURCE_FD) |
				      (*name ? UFFDM_MAP_WRITABLE : 0)},
	};
	struct answer answer;

	prepare(&request, UFFDM_MAP, sizeof(request.body.map), UFFDM_MAPPED, strings);
	call(link, &request, &answer);
	if (error_of(&answer))
		refused(&answer, "MAP");
	*map_id = ((const struct uffdm_mapped *)body_of(&answer, sizeof(struct uffdm_mapped)))
			  ->map_id;
	if (answer.descriptor < 0)
		watch_fail("MAPPED without a descriptor");
	return answer.descriptor;
}

void link_unregister(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.range = {.start = start, .length = length},
	};
	struct answer answer;

	prepare(&request, UFFDM_UNREGISTER, sizeof(request.body.range), UFFDM_DONE, NULL);
	call(link, &request, &answer);
	/* Asked for the second time, it has been done already. */
	if (error_of(&answer) && error_of(&answer)->code != UFFDM_CODE_NOT_FOUND)
		refused(&answer, "UNREGISTER");
}

void link_prefetch(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.range = {.start = start, .length = length},
	};
	struct answer answer;

	prepare(&request, UFFDM_PREFETCH, sizeof(request.body.range), UFFDM_DONE, NULL);
	call(link, &request, &answer);
	/* Too many at a time is an answer; whatever else must not be. */
	if (error_of(&answer) && error_of(&answer)->code != UFFDM_CODE_LIMIT)
		refused(&answer, "PREFETCH");
}

void link_protect(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.protect = {.start = start, .length = length, .protect = 1},
	};
	struct answer answer;

	prepare(&request, UFFDM_WRITE_PROTECT, sizeof(request.body.protect), UFFDM_DONE, NULL);
	call(link, &request, &answer);
	if (error_of(&answer))
		refused(&answer, "WRITE_PROTECT");
}

void link_status(struct link *link)
{
	struct request request = {.descriptor = -1};
	struct answer answer;

	prepare(&request, UFFDM_STATUS, 0, UFFDM_STATUS_REPLY, NULL);
	call(link, &request, &answer);
	if (error_of(&answer))
		refused(&answer, "STATUS");
	const struct uffdm_status_reply *status = body_of(&answer, sizeof(*status));

	if (status->session_id != link->session)
		watch_fail("STATUS of session %lu answered for session %lu", link->session,
			   status->session_id);
}

void link_close(struct link *link)
{
	if (link->socket >= 0)
		close(link->socket);
	link->socket = -1;
}
