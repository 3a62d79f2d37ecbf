/*
 * reference-handler.c - the yardstick: what a page-fault handler costs when it does nothing else.
 *
 *   uffd-bench-reference --socket PATH (--image FILE | --zero)
 *
 * One thread, one epoll instance, batched read of the messages, UFFDIO_COPY from a mapped image at
 * the fault's offset in the client's range (or of one zero page). No policy, no page table, no
 * accounting, no care for clients that die or fork: whatever the manager does on top is measured
 * against this. Says "ready" on stdout when it listens; ends on SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reference.h"
#include "yardstick.h"

#define PAGE 4096ul
#define BATCH 64
#define POPULATE_STEP (1ul << 20)

/* epoll's data points at one of these: a client is known by its socket and by its userfaultfd. */
struct watched {
	int fd;
	bool is_uffd;
	struct client *client;
};

struct client {
	struct watched socket;
	struct watched uffd;
	uint64_t start;
	uint64_t length;
	struct client *next_gone;
};

static int epoll_fd;
/* Freed only after the batch of events: a later event of it may still point here. */
static struct client *gone;
static const char *image;
static uint64_t image_length;
static bool zero;

static void watch(struct watched *watched)
{
	yardstick_watch(epoll_fd, watched->fd, watched);
}

/* Where the bytes for `offset` of a range are; `length` must not pass the end of the image. */
static uint64_t contents(uint64_t offset)
{
	return (uint64_t)(uintptr_t)(zero ? image : image + offset);
}

static int install(const struct client *client, uint64_t address, uint64_t length)
{
	struct uffdio_copy copy = {
		.dst = address,
		.src = contents(address - client->start),
		.len = length,
	};

	while (ioctl(client->uffd.fd, UFFDIO_COPY, &copy) < 0) {
		if (errno == EEXIST) {
			struct uffdio_range range = {.start = address, .len = length};

			return ioctl(client->uffd.fd, UFFDIO_WAKE, &range) < 0 ? errno : 0;
		}
		if (errno != EAGAIN)
			return errno;
		if (copy.copy > 0) {
			copy.dst += (uint64_t)copy.copy;
			copy.src += (uint64_t)copy.copy;
			copy.len -= (uint64_t)copy.copy;
		}
	}
	return 0;
}

static void serve_faults(const struct client *client)
{
	struct uffd_msg messages[BATCH];
	ssize_t got = read(client->uffd.fd, messages, sizeof(messages));

	for (ssize_t i = 0; i < got / (ssize_t)sizeof(messages[0]); i++) {
		if (messages[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		int error = install(client, messages[i].arg.pagefault.address & ~(PAGE - 1), PAGE);

		if (error != 0 && error != ESRCH && error != ENOENT) {
			errno = error;
			yardstick_die("UFFDIO_COPY");
		}
	}
}

static int64_t attach(struct client *client, int uffd)
{
	struct uffdio_api api = {.api = UFFD_API};

	if (uffd < 0)
		return EBADF;
	if (ioctl(uffd, UFFDIO_API, &api) < 0 || fcntl(uffd, F_SETFL, O_NONBLOCK) < 0)
		return errno;
	client->uffd = (struct watched){.fd = uffd, .is_uffd = true, .client = client};
	watch(&client->uffd);
	return 0;
}

static int64_t enrol(struct client *client, const struct reference_request *request)
{
	struct uffdio_register reg = {
		.range = {.start = request->start, .len = request->length},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	client->start = request->start;
	client->length = request->length;
	return ioctl(client->uffd.fd, UFFDIO_REGISTER, &reg) < 0 ? errno : 0;
}

static int64_t leave(struct client *client, const struct reference_request *request)
{
	struct uffdio_range range = {.start = request->start, .len = request->length};

	return ioctl(client->uffd.fd, UFFDIO_UNREGISTER, &range) < 0 ? errno : 0;
}

static int64_t populate(const struct client *client, const struct reference_request *request)
{
	uint64_t step = zero ? PAGE : POPULATE_STEP;

	if (!zero && request->start - client->start + request->length > image_length)
		return ENXIO;
	for (uint64_t done = 0; done < request->length; done += step) {
		uint64_t left = request->length - done;
		int error = install(client, request->start + done, left < step ? left : step);

		if (error != 0)
			return error;
	}
	return 0;
}

/* The client's end closed: its sessions are over. EPOLL_CTL_DEL is needed because the client's
 * process may hold the same open file a moment longer. */
static void forget(struct client *client)
{
	if (client->uffd.client) {
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->uffd.fd, NULL);
		close(client->uffd.fd);
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->socket.fd, NULL);
	close(client->socket.fd);
	client->socket.fd = -1;
	client->next_gone = gone;
	gone = client;
}

static void free_gone(void)
{
	while (gone) {
		struct client *client = gone;

		gone = client->next_gone;
		free(client);
	}
}

static void serve_request(struct client *client)
{
	struct reference_request request;
	struct reference_reply reply = {.error = EINVAL};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = &request, .iov_len = sizeof(request)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int uffd = -1;

	if (recvmsg(client->socket.fd, &message, MSG_CMSG_CLOEXEC) != sizeof(request)) {
		forget(client);
		return;
	}
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&uffd, CMSG_DATA(cmsg), sizeof(uffd));
	switch (request.command) {
	case REFERENCE_ATTACH:
		reply.error = attach(client, uffd);
		break;
	case REFERENCE_REGISTER:
		reply.error = enrol(client, &request);
		break;
	case REFERENCE_POPULATE:
		reply.error = populate(client, &request);
		break;
	case REFERENCE_UNREGISTER:
		reply.error = leave(client, &request);
		break;
	}
	if (send(client->socket.fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
		forget(client);
}

static void welcome(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct client *client = calloc(1, sizeof(*client));

	if (fd < 0 || !client)
		yardstick_die("accept");
	client->socket = (struct watched){.fd = fd, .client = client};
	watch(&client->socket);
}

static void map_image(const char *path)
{
	if (!zero) {
		image = yardstick_map(path, MAP_SHARED | MAP_POPULATE, &image_length);
		return;
	}
	image = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (image == MAP_FAILED)
		yardstick_die("mmap");
}

int main(int argc, char **argv)
{
	const char *socket_path = NULL;
	const char *image_path = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--zero") == 0)
			zero = true;
		else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
			socket_path = argv[++i];
		else if (strcmp(argv[i], "--image") == 0 && i + 1 < argc)
			image_path = argv[++i];
	}
	if (!socket_path || (image_path == NULL) != zero) {
		fprintf(stderr,
			"usage: uffd-bench-reference --socket PATH (--image FILE | --zero)\n");
		return 64;
	}
	map_image(image_path);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	struct watched listener = {.fd = yardstick_listen(socket_path, SOCK_SEQPACKET)};

	watch(&listener);
	puts("ready");
	fflush(stdout);

	for (;;) {
		struct epoll_event events[BATCH];
		int count = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			struct watched *watched = events[i].data.ptr;

			if (!watched->client)
				welcome(watched->fd);
			else if (watched->client->socket.fd < 0)
				continue;
			else if (watched->is_uffd)
				serve_faults(watched->client);
			else
				serve_request(watched->client);
		}
		free_gone();
	}
}
