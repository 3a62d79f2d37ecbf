/*
 * Runs a program with descriptors from 3 on, as a service manager does (sd_listen_fds(3)).
 *
 *	with-fds SOCKET PROGRAM [ARGUMENT]...
 *
 * It connects to SOCKET (SOCK_SEQPACKET), receives messages with descriptors until an empty line
 * comes, places the descriptors in their order, sets LISTEN_PID to itself and becomes PROGRAM. The
 * rest of the variables is up to whoever runs it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3, MAX_PASSED = 253, MAX_DESCRIPTORS = 8192, ASIDE = 16384 };

static int descriptors[MAX_DESCRIPTORS];
static int count;

static void die(const char *what)
{
	perror(what);
	_exit(70);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		die("socket");
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	return fd;
}

/* Out of the way of the numbers that they are to have. */
static void keep(int fd)
{
	if (count == MAX_DESCRIPTORS)
		die("too many descriptors");
	descriptors[count] = fcntl(fd, F_DUPFD_CLOEXEC, ASIDE);
	if (descriptors[count++] < 0)
		die("fcntl(F_DUPFD_CLOEXEC)");
	close(fd);
}

static int receive(int from)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(MAX_PASSED * sizeof(int))];
	} control;
	char text[64];
	struct iovec vector = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t length = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (length <= 0)
		die("recvmsg");
	if (!header)
		return text[0] != '\n';
	for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		keep(fd);
	}
	return 1;
}

int main(int argc, char **argv)
{
	char pid[16];
	int from;

	if (argc < 3) {
		fprintf(stderr, "usage: with-fds SOCKET PROGRAM [ARGUMENT]...\n");
		return 64;
	}
	from = connect_to(argv[1]);
	while (receive(from))
		;
	close(from);
	for (int i = 0; i < count; i++)
		if (dup2(descriptors[i], FIRST + i) < 0)
			die("dup2");
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	execvp(argv[2], argv + 2);
	die(argv[2]);
}
