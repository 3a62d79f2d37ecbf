/*
 * What the tests look at beside the supervisor's own words: the clock, descriptors, processes.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "harness.h"

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void pause_ms(int ms)
{
	struct pollfd nothing;

	poll(&nothing, 0, ms);
}

bool is_readable(int fd, int ms)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	return poll(&ready, 1, ms) == 1;
}

int make_memfd(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		perror("memfd");
	return fd;
}

bool await_end_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool has_ended = fd < 0 ? errno == ESRCH : is_readable(fd, PATIENCE_MS);

	if (fd >= 0)
		close(fd);
	return has_ended;
}

bool is_hung_up(int fd)
{
	struct pollfd end = {.fd = fd};

	return poll(&end, 1, 0) == 1 && end.revents & POLLHUP;
}

bool await_hangup(int fd)
{
	struct pollfd end = {.fd = fd};

	return poll(&end, 1, PATIENCE_MS) == 1 && end.revents & POLLHUP;
}

int open_fds_of(pid_t pid)
{
	char path[40];
	int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return -1;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2;
}

bool await_open_fds(pid_t pid, int count)
{
	double deadline = now() + 20;

	while (open_fds_of(pid) != count) {
		if (now() > deadline)
			return false;
		pause_ms(5);
	}
	return true;
}
