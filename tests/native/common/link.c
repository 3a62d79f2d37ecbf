#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "exchange.h"
#include "kernel.h"
#include "uffd.h"
#include "watch.h"

/* Newer than the headers that this must build with: WP_UNPOPULATED (bit 13), POISON (bit 14). */
#define FEATURES                                                                                   \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |     \
	 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_MISSING_HUGETLBFS |   \
	 UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
	 1ull << 13 | 1ull << 14)
#define NEEDED                                                                                     \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |          \
	 UFFD_FEATURE_EVENT_UNMAP)

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
	request_prepare(&request, UFFDM_HELLO, sizeof(request.body.hello), UFFDM_WELCOME, strings);
	if (!connect_once(link) || !exchange(link, &request, answer))
		return false;
	const struct uffdm_error *error = answer_error(answer);

	if (error && passes(error))
		return false;
	if (error)
		answer_refused(answer, "HELLO");
	const struct uffdm_welcome *welcome = answer_body(answer, sizeof(*welcome));

	link->session = welcome->session_id;
	link->token = welcome->resume_token;
	link->features = welcome->features_enabled;
	return true;
}

static void be_patient(const struct link *link, int64_t since)
{
	if (watch_now() - since > (int64_t)link->patience * 1000000000)
		watch_fail("no manager has answered HELLO for %u s", link->patience);
	/* The pace of a poll, whose deadline stands above. */
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* The same until somebody does; the flags of the WELCOME. */
static uint16_t greet(struct link *link, uint32_t flags, uint64_t token, int descriptor,
		      struct answer *answer)
{
	int64_t since = watch_now();

	while (!greet_once(link, flags, token, descriptor, answer))
		be_patient(link, since);
	return ((const struct uffdm_welcome *)answer_body(answer, sizeof(struct uffdm_welcome)))
		->flags;
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

void link_call(struct link *link, struct request *request, struct answer *answer)
{
	pthread_mutex_lock(&link->lock);
	/* A manager that says it is about to go has not done it; its successor is asked again. */
	while (!exchange(link, request, answer) ||
	       (answer_error(answer) && answer_error(answer)->code == UFFDM_CODE_SHUTTING_DOWN)) {
		reconnect(link);
		watch->resent++;
	}
	pthread_mutex_unlock(&link->lock);
}

static int make_uffd(void)
{
	int uffd = uffd_create();

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

void link_close(struct link *link)
{
	if (link->socket >= 0)
		close(link->socket);
	link->socket = -1;
}

void link_disown(struct link *link)
{
	link_close(link);
	if (link->uffd >= 0)
		close(link->uffd);
	link->uffd = -1;
}
