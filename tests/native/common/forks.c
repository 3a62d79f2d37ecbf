#include "forks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch.h"

enum { EXIT_ORPHANED = 65 };

pid_t fork_watched(void)
{
	watch_begin("forks");
	pid_t pid = fork();

	if (pid < 0)
		watch_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		watch_number += MAX_THREADS;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return 0;
	}
	watch_end();
	watch->forks++;
	return pid;
}

uint64_t fork_read_mailbox(const unsigned char *mailbox)
{
	watch_begin("reads its mailbox");
	uint64_t token = *(const volatile uint64_t *)(const void *)mailbox;

	watch_end();
	if (token == 0)
		_exit(EXIT_ORPHANED);
	return token;
}

void fork_await(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			watch_fail("waitpid: %s", strerror(errno));
	if ((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
	    (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ORPHANED))
		watch->orphans++;
	else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_WRONG)
		_exit(EXIT_WRONG); /* it has said what is wrong */
	else if (status != 0)
		watch_fail("child %d ended with status 0x%x", pid, (unsigned int)status);
}
