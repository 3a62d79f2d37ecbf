#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "descriptor.h"
#include "log.h"
#include "notify.h"
#include "store.h"

/* A chain of parents that is longer is nobody we know. */
#define MAX_DEPTH 64

static struct log_limit strangers, mistakes;

/* /proc may be that of another PID namespace, where our numbers are somebody else's. */
static bool proc_is_ours(void)
{
	static int answer = -1;
	char self[24];
	ssize_t length;

	if (answer < 0) {
		length = readlink("/proc/self", self, sizeof(self) - 1);
		self[length > 0 ? length : 0] = 0;
		answer = atol(self) == getpid();
	}
	return answer;
}

static pid_t parent_of(pid_t pid)
{
	char path[40], text[512], *end;
	ssize_t length;
	int parent, fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	/* The name in the second field may contain anything, also what looks like the end of it. */
	end = strrchr(text, ')');
	return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool is_believed(pid_t pid, pid_t main_pid)
{
	if (!main_pid || pid <= 0)
		return false;
	for (int depth = 0; depth < MAX_DEPTH && pid > 0; depth++) {
		if (pid == main_pid)
			return true;
		if (!proc_is_ours())
			return false;
		pid = parent_of(pid);
	}
	return false;
}

static pid_t sender_of(struct msghdr *header)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control;
	     control = CMSG_NXTHDR(header, control)) {
		if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS &&
		    control->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
			struct ucred credentials;

			memcpy(&credentials, CMSG_DATA(control), sizeof(credentials));
			return credentials.pid;
		}
	}
	return 0;
}

/* Who has sent the next datagram. There is room for the credentials only, so that no descriptor is
 * received. -1: there is none. */
static pid_t peek_sender(int socket)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr header = {.msg_control = &control, .msg_controllen = sizeof(control)};

	while (recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
		if (errno != EINTR) {
			if (errno != EAGAIN)
				log_limited(&mistakes, "cannot receive notifications: %s",
					    strerror(errno));
			return -1;
		}
		header.msg_controllen = sizeof(control);
	}
	return sender_of(&header);
}

static void take_fds(struct msghdr *header, struct notification *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control;
	     control = CMSG_NXTHDR(header, control)) {
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
			if (message->fd_count < NOTIFY_FDS_MAX)
				message->fds[message->fd_count++] = fd;
			else
				descriptor_close(fd);
		}
	}
}

/* The datagram that was peeked at, with everything. False: it was logged and its descriptors
 * closed. */
static bool take_datagram(int socket, struct notification *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int)) + CMSG_SPACE(256)];
	} control;
	struct iovec part = {.iov_base = message->text, .iov_len = NOTIFY_TEXT_MAX};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &control,
				.msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const char *wrong = NULL;

	if (length < 0) {
		log_limited(&mistakes, "cannot receive notifications: %s", strerror(errno));
		return false;
	}
	take_fds(&header, message);
	if (length > 0 && message->text[length - 1] == 0)
		length--;
	message->text[length] = 0;
	/* Queues are in order and nobody else reads this one; who is believed is checked all the
	 * same. */
	if (sender_of(&header) != message->sender)
		wrong = "its sender is unclear";
	else if (header.msg_flags & MSG_TRUNC)
		wrong = "it is longer than 4096 bytes";
	else if (length == 0)
		wrong = "it is empty";
	else if (strlen(message->text) != (size_t)length)
		wrong = "it contains a NUL byte";
	if (wrong) {
		log_limited(&mistakes, "ignored a message of process %d with %u descriptors: %s",
			    message->sender, message->fd_count, wrong);
		notify_close(message);
		return false;
	}
	message->lost_some = header.msg_flags & MSG_CTRUNC;
	return true;
}

/* The value if the line is "KEY=value", else NULL. */
static char *value_of(char *line, const char *key)
{
	size_t length = strlen(key);

	return strncmp(line, key, length) == 0 && line[length] == '=' ? line + length + 1 : NULL;
}

static bool read_number(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static void read_line(struct notification *message, char *line)
{
	uint64_t number;
	char *value;

	if (strcmp(line, "READY=1") == 0)
		message->is_ready = true;
	else if (strcmp(line, "RELOADING=1") == 0)
		message->is_reloading = true;
	else if (strcmp(line, "STOPPING=1") == 0)
		message->is_stopping = true;
	else if (strcmp(line, "WATCHDOG=1") == 0)
		message->is_alive = true;
	else if (strcmp(line, "WATCHDOG=trigger") == 0)
		message->wants_abort = true;
	else if (strcmp(line, "BARRIER=1") == 0)
		message->is_barrier = true;
	else if (strcmp(line, "FDSTORE=1") == 0)
		message->is_store = true;
	else if (strcmp(line, "FDSTOREREMOVE=1") == 0)
		message->is_remove = true;
	else if (strcmp(line, "FDPOLL=0") == 0)
		message->is_polled = false;
	else if ((value = value_of(line, "FDNAME")))
		message->name = value;
	else if ((value = value_of(line, "STATUS")))
		message->status = value;
	else if ((value = value_of(line, "ERRNO")) && read_number(value, &number) && number < 4096)
		message->error = (int)number;
	else if ((value = value_of(line, "EXTEND_TIMEOUT_USEC")) && read_number(value, &number))
		message->extend = number;
	else if ((value = value_of(line, "WATCHDOG_USEC")) && read_number(value, &number))
		message->watchdog = number;
	/* Others are of no concern here: MAINPID, MONOTONIC_USEC, and what is invented later. */
}

enum notify_outcome notify_receive(int socket, pid_t main_pid, struct notification *message)
{
	pid_t sender = peek_sender(socket);
	char *rest = message->text;

	if (sender < 0)
		return NOTIFY_EMPTY;
	/* The text is not cleared: what was received is terminated. */
	memset(message, 0, offsetof(struct notification, text));
	message->sender = sender;
	message->is_polled = true;
	if (!is_believed(sender, main_pid)) {
		recv(socket, NULL, 0, MSG_DONTWAIT);
		log_limited(&strangers,
			    "ignored a message of process %d, which is not the daemon's", sender);
		return NOTIFY_REFUSED;
	}
	if (!take_datagram(socket, message))
		return NOTIFY_REFUSED;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		read_line(message, line);
	if (message->name && !store_name_is_valid(message->name)) {
		log_limited(&mistakes,
			    "process %d names descriptors in a way that is not allowed, ignoring "
			    "the name",
			    sender);
		message->name = NULL;
	}
	return NOTIFY_MESSAGE;
}

void notify_close(struct notification *message)
{
	for (unsigned i = 0; i < message->fd_count; i++)
		if (message->fds[i] >= 0)
			descriptor_close(message->fds[i]);
	message->fd_count = 0;
}
