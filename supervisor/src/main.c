/*
 * uffd-supervise: keeps descriptors for a daemon, and starts it again when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>
#include "log.h"
#include "options.h"
#include "supervise.h"

/* Descriptors of our own, and some air. */
#define OWN_FDS 128

/* What we were started with beyond standard input and output would occupy the numbers that the
 * daemon's descriptors get, and stay open for ever. */
static void tidy_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
}

static void tidy_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t blocked;

	/* A parent may have ignored some: children of SIGCHLD's ignorer cannot be waited for. */
	sigemptyset(&blocked);
	for (const int *number = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
					       SIGUSR2, SIGPIPE, 0};
	     *number; number++) {
		sigaction(*number, &action, NULL);
		sigaddset(&blocked, *number);
	}
	/* Blocked, they wait for the signalfd, also those that PID 1 would not get for lack of a
	 * handler. */
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/*
 * Everything that is kept is open here, and for a moment twice in the child that becomes the
 * daemon. The daemon inherits the limit: it gets all of it, and has descriptors of its own.
 */
static void raise_nofile(struct options *options)
{
	rlim_t wanted = 2 * ((rlim_t)options->store_max + options->listen_count) + OWN_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < wanted) {
		struct rlimit raised = {wanted, wanted};

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			return;
	}
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < wanted) {
		rlim_t room = limit.rlim_cur > OWN_FDS ? (limit.rlim_cur - OWN_FDS) / 2 : 0;

		options->store_max =
			room > options->listen_count ? (unsigned)room - options->listen_count : 0;
		log_line("the limit of open files is %llu and cannot be raised: at most %u "
			 "descriptors are kept",
			 (unsigned long long)limit.rlim_cur, options->store_max);
	}
}

int main(int count, char **arguments)
{
	struct options options = options_parse(count, arguments);

	tidy_descriptors();
	tidy_signals();
	raise_nofile(&options);
	if (options.subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
		log_line("cannot become a reaper of orphans: %s", strerror(errno));
		return EX_OSERR;
	}
	return supervise(&options);
}
