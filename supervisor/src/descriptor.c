#include <errno.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "descriptor.h"

#define STACK_BYTES (64 * 1024)

static int begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Without /proc the calls for a kind tell it: they refuse descriptors of others. */
static enum descriptor_kind probe_kind(int fd)
{
	struct uffdio_range nothing = {0};

	if (syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 || errno == ESRCH || errno == EPERM)
		return DESCRIPTOR_PIDFD;
	if (ioctl(fd, UFFDIO_WAKE, &nothing) != 0 && errno == EINVAL)
		return DESCRIPTOR_USERFAULTFD;
	return DESCRIPTOR_OTHER;
}

enum descriptor_kind descriptor_kind(int fd)
{
	char path[32], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return probe_kind(fd);
	target[length] = 0;
	if (strcmp(target, "anon_inode:[userfaultfd]") == 0)
		return DESCRIPTOR_USERFAULTFD;
	/* Since Linux 6.9 pidfds have a file system of their own. */
	if (strcmp(target, "anon_inode:[pidfd]") == 0 || begins(target, "pidfd:"))
		return DESCRIPTOR_PIDFD;
	if (begins(target, "anon_inode:") || begins(target, "/memfd:") || begins(target, "pipe:"))
		return DESCRIPTOR_ANONYMOUS;
	return DESCRIPTOR_OTHER;
}

static void *close_it(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

void descriptor_close(int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	if (descriptor_kind(fd) != DESCRIPTOR_OTHER) {
		close(fd);
		return;
	}
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES > PTHREAD_STACK_MIN ? STACK_BYTES
									       : PTHREAD_STACK_MIN);
	error = pthread_create(&thread, &attributes, close_it, (void *)(intptr_t)fd);
	pthread_attr_destroy(&attributes);
	if (error)
		close(fd);
}
