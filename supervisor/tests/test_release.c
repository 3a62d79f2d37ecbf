/* Giving up: no client of a kept session ever reads zeros because the supervisor has ended. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"

/* A process that waits for a page which nobody brings. */
struct client {
	pid_t pid;
	int userfaultfd;
	int said; /* it writes here what it has read */
};

static int make_userfaultfd(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static _Noreturn void be_client(int line, int said)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	volatile char *page =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register area = {.range = {(uintptr_t)page, size},
				       .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = make_userfaultfd();
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space;
	struct iovec part = {"u", 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = CMSG_SPACE(sizeof(int))};
	char byte;

	if (fd < 0 || ioctl(fd, UFFDIO_REGISTER, &area) != 0)
		_exit(1);
	space.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&space.align), &fd, sizeof(int));
	if (sendmsg(line, &header, 0) != 1)
		_exit(1);
	close(line);
	close(fd);
	byte = (char)('0' + *page);
	if (write(said, &byte, 1) != 1)
		_exit(1);
	_exit(0);
}

static bool make_client(struct client *client)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = sizeof(space)};
	int line[2], said[2];
	struct uffd_msg fault;
	struct pollfd ready;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) != 0 ||
	    pipe2(said, O_CLOEXEC) != 0)
		return false;
	client->pid = fork();
	if (client->pid == 0) {
		close(line[0]);
		close(said[0]);
		be_client(line[1], said[1]);
	}
	close(line[1]);
	close(said[1]);
	client->said = said[0];
	if (recvmsg(line[0], &header, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&header))
		return false;
	close(line[0]);
	memcpy(&client->userfaultfd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
	ready = (struct pollfd){.fd = client->userfaultfd, .events = POLLIN};
	/* Read, so that only a wake or a close could let it go on. */
	return poll(&ready, 1, PATIENCE_MS) == 1 &&
	       read(client->userfaultfd, &fault, sizeof(fault)) == sizeof(fault);
}

/* Stores what a session consists of; nobody but the supervisor and its daemon holds it then. */
static bool store_session(struct run *run, const char *name, struct client *client, bool with_pidfd)
{
	return store(run, name, client->userfaultfd) && store(run, name, make_memfd("state")) &&
	       (!with_pidfd || store(run, name, (int)syscall(SYS_pidfd_open, client->pid, 0)));
}

/* What the client has read: 0 nothing, it was killed; -1 it still waits; else the byte. */
static int end_of(struct client *client, bool wait)
{
	char byte = 0;
	int status;

	if (wait && !await_end_of(client->pid))
		return -1;
	if (waitpid(client->pid, &status, WNOHANG) != client->pid)
		return -1;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return read(client->said, &byte, 1) == 0 ? 0 : byte;
	return read(client->said, &byte, 1) == 1 ? byte : '?';
}

static bool can_test(void)
{
	int fd = make_userfaultfd();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

#define REQUIRE_USERFAULTFD()                                                                      \
	do {                                                                                       \
		if (!can_test())                                                                   \
			SKIP("userfaultfd is not available");                                      \
	} while (0)

/* First of all: what the others are to prevent does happen. */
static enum result zeros_are_real(struct run *run)
{
	struct client client;

	(void)run;
	REQUIRE_USERFAULTFD();
	CHECK(make_client(&client));
	close(client.userfaultfd);
	CHECK(end_of(&client, true) == '0');
	return PASSED;
}

static enum result kill_before_closing(struct run *run)
{
	struct client clients[3], bystander;
	char name[32];

	REQUIRE_USERFAULTFD();
	CHECK(start(run, NULL) && await_ready(run));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "session-%d", i);
		CHECK(make_client(&clients[i]) && store_session(run, name, &clients[i], true));
	}
	/* A pidfd of a name without a userfaultfd harms nobody. */
	CHECK(make_client(&bystander));
	CHECK(store(run, "other", (int)syscall(SYS_pidfd_open, bystander.pid, 0)));
	CHECK(order(run, "exit 78"));
	for (int i = 0; i < 3; i++)
		CHECK(end_of(&clients[i], true) == 0);
	CHECK(await_end(run) == 78);
	CHECK(is_in_log(run, "GIVES UP") && is_in_log(run, "session-1: its process is killed"));
	CHECK(end_of(&bystander, false) == -1);
	kill(bystander.pid, SIGKILL);
	CHECK(end_of(&bystander, true) == 0);
	return PASSED;
}

static enum result kill_after_a_bad_stop(struct run *run)
{
	struct client client;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, "--stop-timeout=0.2", NULL) && await_ready(run));
	CHECK(make_client(&client) && store_session(run, "session-1", &client, true));
	kill(run->supervisor, SIGTERM);
	CHECK(end_of(&client, true) == 0 && await_end(run) == 128 + SIGKILL);
	return PASSED;
}

static enum result keep_when_told(struct run *run)
{
	struct client client;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, "--on-give-up=keep", NULL) && await_ready(run));
	CHECK(make_client(&client) && store_session(run, "session-1", &client, true));
	CHECK(order(run, "exit 78") && await_log(run, "keeps 3 descriptors"));
	CHECK(no_daemon_comes(run, 300) && end_of(&client, false) == -1);
	kill(run->supervisor, SIGUSR2);
	CHECK(await_ready(run) && reported_fds(run) == 3);
	CHECK(reported(run, "fd session-1 - anon_inode:[userfaultfd]"));
	CHECK(order(run, "exit 78") && await_log(run, "keeps 3 descriptors"));
	CHECK(end_of(&client, false) == -1);
	kill(run->supervisor, SIGTERM);
	CHECK(end_of(&client, true) == 0 && await_end(run) == 78);
	return PASSED;
}

static enum result hold_what_cannot_be_killed(struct run *run)
{
	struct client nameless, known;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, NULL) && await_ready(run));
	CHECK(make_client(&nameless) && store_session(run, "session-1", &nameless, false));
	CHECK(make_client(&known) && store_session(run, "session-2", &known, true));
	CHECK(order(run, "exit 78") && await_log(run, "session-1: its process lives"));
	CHECK(await_log(run, "holds 1 userfaultfds") && end_of(&known, true) == 0);
	pause_ms(1500);
	CHECK(end_of(&nameless, false) == -1 && waitpid(run->supervisor, NULL, WNOHANG) == 0);
	kill(nameless.pid, SIGKILL);
	CHECK(end_of(&nameless, true) == 0 && await_end(run) == 78);
	return PASSED;
}

static enum result let_go_when_told_twice(struct run *run)
{
	struct client client;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, NULL) && await_ready(run));
	CHECK(make_client(&client) && store_session(run, "session-1", &client, false));
	CHECK(order(run, "exit 78") && await_log(run, "holds 1 userfaultfds"));
	kill(run->supervisor, SIGTERM);
	CHECK(await_log(run, "session-1: let go of its userfaultfd") && await_end(run) == 78);
	CHECK(end_of(&client, true) == '0');
	return PASSED;
}

static enum result close_dead_sessions(struct run *run)
{
	struct client with, without;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, NULL) && await_ready(run));
	CHECK(make_client(&with) && store_session(run, "session-1", &with, true));
	CHECK(make_client(&without) && store_session(run, "session-2", &without, false));
	kill(with.pid, SIGKILL), kill(without.pid, SIGKILL);
	CHECK(end_of(&with, true) == 0 && end_of(&without, true) == 0);
	CHECK(order(run, "exit 78") && await_end(run) == 78);
	CHECK(!is_in_log(run, "is killed") && !is_in_log(run, "holds"));
	return PASSED;
}

static enum result wait_through_kills(struct run *run)
{
	struct client client;

	REQUIRE_USERFAULTFD();
	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	CHECK(make_client(&client) && store_session(run, "session-1", &client, true));
	for (int i = 0; i < 10; i++) {
		kill(run->daemon, SIGKILL);
		CHECK(await_daemon(run) && reported_fds(run) == 3);
	}
	CHECK(end_of(&client, false) == -1);
	kill(run->supervisor, SIGKILL);
	kill(client.pid, SIGKILL);
	CHECK(end_of(&client, true) == 0);
	return PASSED;
}

const struct test release_tests[] = {
	{"a client reads zeros when its userfaultfd is closed (which the next tests prevent)",
	 zeros_are_real},
	{"giving up kills the clients of kept sessions before it closes them", kill_before_closing},
	{"a daemon that had to be killed at stop leaves no client that reads zeros",
	 kill_after_a_bad_stop},
	{"giving up keeps everything when told to, until a signal comes", keep_when_told},
	{"a session whose process cannot be killed is held until it ends",
	 hold_what_cannot_be_killed},
	{"a second stop lets go of what was held, and says so", let_go_when_told_twice},
	{"sessions whose processes are gone are just closed", close_dead_sessions},
	{"a client waits through ten kills of the daemon", wait_through_kills},
	{NULL, NULL},
};
