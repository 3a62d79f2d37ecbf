/* descriptors.c - commands that pass descriptors on, open, close and write to them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

static int do_sendfd(struct context *c)
{
	c->send_fd = (int)c->arg[0];
	return answer(c, "0");
}

static int do_recvfd(struct context *c)
{
	int fd = c->fd;

	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	c->fd = -1;
	return result(c, fd);
}

/* open PATH FLAGS */
static int do_open(struct context *c)
{
	return result(c, open(c->word[0], (int)c->arg[1] | O_CLOEXEC, 0600));
}

/* connect PATH [TYPE]: a connection, SOCK_SEQPACKET if no type is given; the listener sees this
 *process's credentials */
static int do_connect(struct context *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int type = c->argc > 1 ? (int)c->arg[1] : SOCK_SEQPACKET;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, c->word[0], sizeof(address.sun_path) - 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return result(c, fd);
}

static int do_close(struct context *c)
{
	return result(c, close((int)c->arg[0]));
}

/* pwrite FD OFFSET LENGTH BYTE */
static int do_pwrite(struct context *c)
{
	unsigned char page[4096];

	memset(page, (int)c->arg[3], sizeof(page));
	for (uint64_t at = 0; at < c->arg[2]; at += sizeof(page))
		if (pwrite((int)c->arg[0], page, sizeof(page), (off_t)(c->arg[1] + at)) < 0)
			return -1;
	return answer(c, "0");
}

/* punch FD OFFSET LENGTH */
static int do_punch(struct context *c)
{
	return result(c, fallocate((int)c->arg[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)c->arg[1], (off_t)c->arg[2]));
}

const struct verb descriptor_verbs[] = {
	{"sendfd", 1, do_sendfd}, {"recvfd", 0, do_recvfd},
	{"open", 2, do_open},	  {"connect", 1, do_connect},
	{"close", 1, do_close},	  {"pwrite", 4, do_pwrite},
	{"punch", 3, do_punch},	  {0},
};
