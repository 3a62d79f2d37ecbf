/* userfaultfd.c - commands to userfaultfds of the client's own. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common/kernel.h"
#include "client.h"

/* uffd [FLAGS]: a userfaultfd by system call; its number */
static int do_uffd(struct context *c)
{
	int flags = c->argc > 0 ? (int)c->arg[0] : 0;

	return result(c, syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags));
}

/* uffddev FD: a userfaultfd by the open device */
static int do_uffddev(struct context *c)
{
	return result(c, ioctl((int)c->arg[0], USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
}

/* api FD FEATURES: features, ioctls */
static int do_api(struct context *c)
{
	struct uffdio_api api = {.api = UFFD_API, .features = c->arg[1]};

	if (ioctl((int)c->arg[0], UFFDIO_API, &api) < 0)
		return -1;
	return answer(c, "%llu %llu", api.features, api.ioctls);
}

/* register FD START LENGTH MODE: ioctls */
static int do_register(struct context *c)
{
	struct uffdio_register argument = {.range = {.start = c->arg[1], .len = c->arg[2]},
					   .mode = c->arg[3]};

	if (ioctl((int)c->arg[0], UFFDIO_REGISTER, &argument) < 0)
		return -1;
	return answer(c, "%llu", argument.ioctls);
}

static int do_unregister(struct context *c)
{
	struct uffdio_range range = {.start = c->arg[1], .len = c->arg[2]};

	return result(c, ioctl((int)c->arg[0], UFFDIO_UNREGISTER, &range));
}

/* nonblock FD 0|1 */
static int do_nonblock(struct context *c)
{
	int flags = fcntl((int)c->arg[0], F_GETFL);

	flags = c->arg[1] ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return result(c, fcntl((int)c->arg[0], F_SETFL, flags));
}

/* steal FD: reads one message of our own userfaultfd; the event */
static int do_steal(struct context *c)
{
	struct uffd_msg message;

	if (read((int)c->arg[0], &message, sizeof(message)) != sizeof(message))
		return -1;
	return result(c, message.event);
}

const struct verb uffd_verbs[] = {
	{"uffd", 0, do_uffd},
	{"uffddev", 1, do_uffddev},
	{"api", 2, do_api},
	{"register", 4, do_register},
	{"unregister", 3, do_unregister},
	{"nonblock", 2, do_nonblock},
	{"steal", 1, do_steal},
	{0},
};
