#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include "area.h"
#include "session.h"

/* From linux/userfaultfd.h of newer kernels than the headers that this must build with. */
#define NEW_USERFAULTFD _IO(0xAA, 0)
#define FEATURE_PAGEFAULT_FLAG_WP (1ull << 0)
#define FEATURE_EVENT_FORK (1ull << 1)
#define FEATURE_EVENT_REMAP (1ull << 2)
#define FEATURE_EVENT_REMOVE (1ull << 3)
#define FEATURE_EVENT_UNMAP (1ull << 6)
#define FEATURE_THREAD_ID (1ull << 8)
#define FEATURE_WP_UNPOPULATED (1ull << 13)
#define FEATURE_POISON (1ull << 14)

#define FEATURES                                                                                   \
	(FEATURE_PAGEFAULT_FLAG_WP | FEATURE_EVENT_FORK | FEATURE_EVENT_REMAP |                    \
	 FEATURE_EVENT_REMOVE | FEATURE_EVENT_UNMAP | FEATURE_THREAD_ID | FEATURE_WP_UNPOPULATED | \
	 FEATURE_POISON)

/* The program waits meanwhile: at its start, or in fork. */
#define HANDSHAKE_MS 5000u
#define RETRY_MS 20l

static int fail(struct shim_session *session, const char *step, int error)
{
	session->failed = step;
	if (session->socket >= 0)
		sys1(SYS_close, session->socket);
	session->socket = -1;
	return error;
}

static int say_hello(struct shim_session *session, uint32_t flags, uint64_t token, int uffd,
		     struct wire_message *message)
{
	const struct shim_config *config = &shim_area->config;
	const struct uffdm_hello body = {
		.min_version = UFFDM_VERSION,
		.max_version = UFFDM_VERSION,
		.flags = flags,
		.requested_features = FEATURES,
		.token = token,
	};
	struct wire_events events = {0};

	wire_begin(message, UFFDM_HELLO, &body, sizeof(body));
	wire_add_string(message, config->label);
	wire_add_string(message, config->policy);
	message->file = uffd;
	return wire_request(session->socket, message, UFFDM_WELCOME, &events);
}

static int take_welcome(struct shim_session *session, const struct wire_message *message,
			uint16_t *flags)
{
	const struct uffdm_welcome *body = (const void *)(&message->header + 1);

	if (message->length < sizeof(message->header) + sizeof(*body))
		return -EPROTO;
	session->id = body->session_id;
	session->resume_token = body->resume_token;
	session->follows_forks = (body->features_enabled & FEATURE_EVENT_FORK) != 0;
	*flags = body->flags;
	return 0;
}

/*
 * An open /dev/userfaultfd from the manager makes a userfaultfd with all rights out of an
 * unprivileged program: the permission is checked when the node is opened. Without it the program's
 * own right to userfaultfd(2) decides. UFFD_USER_MODE_ONLY is no way out: with it read(2) into a
 * missing page fails with EFAULT, which no program expects.
 */
static long make_uffd(int device)
{
	long uffd = -ENODEV;

	if (device >= 0) {
		uffd = sys3(SYS_ioctl, device, NEW_USERFAULTFD, O_CLOEXEC | O_NONBLOCK);
		sys1(SYS_close, device);
	}
	if (uffd < 0)
		uffd = sys1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return uffd;
}

static int attach(struct shim_session *session, struct wire_message *message)
{
	const struct uffdm_attach body = {
		.flags = UFFDM_HELLO_HAS_UFFD | UFFDM_HELLO_KEEPS_DESCRIPTOR,
		.requested_features = FEATURES,
	};
	struct wire_events events = {0};

	wire_begin(message, UFFDM_ATTACH, &body, sizeof(body));
	message->file = session->uffd;
	return wire_request(session->socket, message, UFFDM_WELCOME, &events);
}

static int register_mailbox(struct shim_session *session)
{
	const struct wire_register mailbox = {
		.start = (uint64_t)(uintptr_t)shim_area->mailbox,
		.length = SHIM_PAGE,
		.flags = UFFDM_REGISTER_MAILBOX,
	};
	struct wire_events events = {0};

	return wire_register(session->socket, &mailbox, &events);
}

static int try_start(struct shim_session *session)
{
	struct wire_message message;
	uint16_t flags;
	int result;
	long uffd;

	*session = (struct shim_session){.socket = -1, .uffd = -1};
	session->socket = wire_connect(shim_area->config.socket, HANDSHAKE_MS);
	if (session->socket < 0)
		return fail(session, "connect to the manager", session->socket);
	result = say_hello(session, UFFDM_HELLO_WANT_DEVICE, 0, -1, &message);
	if (result)
		return fail(session, "hello", result);
	uffd = make_uffd(message.file);
	if (uffd < 0)
		return fail(session,
			    "create a userfaultfd (neither the manager nor this user may open "
			    "/dev/userfaultfd)",
			    (int)uffd);
	session->uffd = (int)uffd;
	result = attach(session, &message);
	if (result == 0)
		result = take_welcome(session, &message, &flags);
	session->failed = "attach";
	if (result == 0) {
		result = register_mailbox(session);
		session->failed = "register the mailbox page";
	}
	if (result) {
		sys1(SYS_close, session->uffd);
		session->uffd = -1;
		return fail(session, session->failed, result);
	}
	return 0;
}

static void pause_between_tries(void)
{
	const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000};

	sys2(SYS_nanosleep, &pause, NULL);
}

/* A manager that ends the connection in the middle of the handshake is being started anew. One that
 * is not there at all is not waited for. */
int session_start(struct shim_session *session)
{
	uint64_t end = shim_now_ms() + HANDSHAKE_MS;
	int result;

	while ((result = try_start(session)) == -EPIPE && shim_now_ms() < end)
		pause_between_tries();
	return result;
}

static int try_start_child(struct shim_session *session, uint64_t token, bool *is_away)
{
	struct wire_message message;
	uint16_t flags;
	int result;

	*session = (struct shim_session){.socket = -1, .uffd = -1};
	session->socket = wire_connect(shim_area->config.socket, HANDSHAKE_MS);
	*is_away = session->socket == -ECONNREFUSED || session->socket == -ENOENT;
	if (session->socket < 0)
		return fail(session, "connect to the manager", session->socket);
	result = say_hello(session, UFFDM_HELLO_FORK_CHILD | UFFDM_HELLO_KEEPS_DESCRIPTOR, token,
			   -1, &message);
	*is_away = result == -EPIPE || result == -ESHUTDOWN;
	if (result)
		return fail(session, "hello of a forked child", result);
	result = take_welcome(session, &message, &flags);
	if (result == 0 && (!(flags & UFFDM_WELCOME_UFFD) || message.file < 0))
		result = -EPROTO;
	if (result) {
		if (message.file >= 0)
			sys1(SYS_close, message.file);
		return fail(session, "welcome of a forked child", result);
	}
	session->uffd = message.file;
	return 0;
}

/* A moment ago there was a manager: it has served the mailbox. Its successor may be starting. */
int session_start_child(struct shim_session *session, uint64_t token)
{
	uint64_t end = shim_now_ms() + SHIM_PATIENCE_MS;
	bool is_away;
	int result;

	while ((result = try_start_child(session, token, &is_away)) != 0 && is_away &&
	       shim_now_ms() < end)
		pause_between_tries();
	return result;
}

int session_resume(struct shim_session *session, bool *known)
{
	const uint32_t flags = UFFDM_HELLO_HAS_UFFD | UFFDM_HELLO_API_DONE |
			       UFFDM_HELLO_KEEPS_DESCRIPTOR | UFFDM_HELLO_ADOPT |
			       UFFDM_HELLO_RESUME | UFFDM_HELLO_SUBJECT_IS_PARENT;
	struct wire_message message;
	uint16_t welcome;
	int result;

	session->socket = wire_connect(shim_area->config.socket, HANDSHAKE_MS);
	if (session->socket < 0)
		return fail(session, "connect to the manager", session->socket);
	result = say_hello(session, flags, session->resume_token, session->uffd, &message);
	if (result == 0)
		result = take_welcome(session, &message, &welcome);
	if (result)
		return fail(session, "hello after the manager was away", result);
	*known = (welcome & UFFDM_WELCOME_RESUMED) != 0;
	return 0;
}
