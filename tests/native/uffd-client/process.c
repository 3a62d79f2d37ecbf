/* process.c - commands about the process itself: children, exec, credentials. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

/* fork: the child's pid; the child connects by itself. forkquiet: the child only waits to be
 * killed. forkfree: as fork, but without the locks that the C library takes for it: threads can do
 * it at once. */
static int fork_child(struct context *c, pid_t pid, int quiet)
{
	if (pid != 0)
		return result(c, pid);
	client_forget_parent();
	if (quiet) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (1)
			pause();
	}
	client_serve();
}

static int do_fork(struct context *c)
{
	return fork_child(c, fork(), 0);
}

static int do_forkquiet(struct context *c)
{
	return fork_child(c, fork(), 1);
}

static int do_forkfree(struct context *c)
{
	return fork_child(c, _Fork(), 0);
}

/* waitpid PID: the raw status */
static int do_waitpid(struct context *c)
{
	int status = 0;

	if (waitpid((pid_t)c->arg[0], &status, 0) < 0)
		return -1;
	return result(c, status);
}

static int do_exit(struct context *c)
{
	_exit((int)c->arg[0]);
}

/* exec: the same program anew, which says hello again; all memory is gone */
static int do_exec(struct context *c)
{
	(void)c;
	return client_exec();
}

static int do_setuid(struct context *c)
{
	return result(c, setresuid((uid_t)c->arg[0], (uid_t)c->arg[0], (uid_t)c->arg[0]));
}

static int do_tid(struct context *c)
{
	return result(c, syscall(SYS_gettid));
}

const struct verb process_verbs[] = {
	{"fork", 0, do_fork},
	{"forkquiet", 0, do_forkquiet},
	{"forkfree", 0, do_forkfree},
	{"waitpid", 1, do_waitpid},
	{"exit", 1, do_exit},
	{"exec", 0, do_exec},
	{"setuid", 1, do_setuid},
	{"tid", 0, do_tid},
	{0},
};
