/* hostile-descriptors.c - hand-overs whose descriptors are not what they must be. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempt.h"
#include "kernel.h"
#include "report.h"

static void no_descriptor(struct attempt *attempt)
{
	attempt->count = 0;
}

static void pipe_end(struct attempt *attempt)
{
	int ends[2] = {-1, -1};

	if (pipe(ends) < 0)
		ends[0] = -1;
	attempt_send_only(attempt, ends[0]);
}

static void plain_file(struct attempt *attempt)
{
	attempt_send_only(attempt, open(attempt->run->image, O_RDONLY | O_CLOEXEC));
}

static void own_socket(struct attempt *attempt)
{
	attempt_send_only(attempt, attempt->socket);
}

static void uffd_and_event(struct attempt *attempt)
{
	attempt_add(attempt, eventfd(0, EFD_CLOEXEC));
}

static void two_uffds(struct attempt *attempt)
{
	attempt_add(attempt, attempt->guest.memory.uffd);
}

static void guest_memfd(struct attempt *attempt)
{
	attempt_add(attempt, memfd_create("guest", MFD_CLOEXEC));
	attempt_add(attempt, memfd_create("bitmap", MFD_CLOEXEC));
}

static void many_descriptors(struct attempt *attempt)
{
	while (attempt->count < MAX_DESCRIPTORS)
		attempt_add(attempt, attempt->guest.memory.uffd);
}

static int new_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

	close(device);
	if (features != UINT64_MAX && ioctl(uffd, UFFDIO_API, &api) < 0)
		report_setup(errno, "UFFDIO_API");
	return uffd;
}

static void not_registered(struct attempt *attempt)
{
	attempt->untaken = true;
	attempt_send_only(attempt, new_uffd(0));
}

static void no_api(struct attempt *attempt)
{
	attempt->untaken = true;
	attempt_send_only(attempt, new_uffd(UINT64_MAX));
}

/*
 * A userfaultfd of another process, which has the same ranges, and lives on or is gone by the time
 * that it is sent. The two share their descriptors, and nothing else.
 */
static int foreign_uffd(const struct region *region, bool lives)
{
	int ends[2];
	int uffd;

	if (pipe(ends) < 0)
		report_setup(errno, "pipe");
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid < 0)
		report_setup(errno, "clone");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		uffd = new_uffd(0);
		struct uffdio_register reg = {
			.range = {.start = (uintptr_t)region->base, .len = region->size},
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 ||
		    write(ends[1], &uffd, sizeof(uffd)) != sizeof(uffd))
			_exit(EXIT_SETUP);
		while (lives)
			pause();
		_exit(0);
	}
	if (read(ends[0], &uffd, sizeof(uffd)) != sizeof(uffd))
		report_setup(0, "the other process is gone");
	if (!lives)
		waitpid(pid, NULL, 0);
	return uffd;
}

static void foreign(struct attempt *attempt)
{
	attempt->untaken = true;
	attempt_send_only(attempt, foreign_uffd(&attempt->guest.memory.region[0], true));
}

static void departed(struct attempt *attempt)
{
	attempt->untaken = true;
	attempt_send_only(attempt, foreign_uffd(&attempt->guest.memory.region[0], false));
}

const struct hostile_kind hostile_descriptors[] = {
	{"no-descriptor", no_descriptor},
	{"pipe", pipe_end},
	{"plain-file", plain_file},
	{"own-socket", own_socket},
	{"uffd-and-event", uffd_and_event},
	{"two-uffds", two_uffds},
	{"guest-memfd", guest_memfd},
	{"many-descriptors", many_descriptors},
	{"not-registered", not_registered},
	{"no-api", no_api},
	{"foreign", foreign},
	{"departed", departed},
	{0},
};
