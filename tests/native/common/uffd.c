#include "uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"

int uffd_create(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device < 0)
		return errno == ENOENT ? (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK) : -1;
	int uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	int error = errno;

	close(device);
	errno = error;
	return uffd;
}
