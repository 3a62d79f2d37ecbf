#include "child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fields.h"
#include "watch.h"

#define CHANGES 64

/* Without a manager the mailbox reads as zero, and so would everything else: nothing is to be
 * believed. */
static uint64_t take_token(void)
{
	watch_begin("reads its mailbox");
	uint64_t token = *(volatile uint64_t *)fields.mailbox;

	watch_end();
	if (token == 0)
		_exit(EXIT_ORPHANED);
	/* Its own children are to find tokens of their own. */
	watch_begin("gives its mailbox up");
	if (madvise(fields.mailbox, BASE_PAGE, MADV_DONTNEED) < 0)
		watch_fail("madvise of the mailbox: %s", strerror(errno));
	watch_end();
	return token;
}

static void introduce(uint64_t token, bool keeper)
{
	struct link link = {
		.path = fields.link.path,
		.policy = "",
		.label = "survival-child",
		.patience = fields.link.patience,
		.keeper = keeper,
	};

	watch_begin("introduces itself");
	link_open_child(&link, token);
	watch_end();
	fields.link = link;
}

static void change(uint64_t *random)
{
	for (int i = 0; i < CHANGES; i++) {
		struct field *field = &fields.field[next_random(random) % fields.count];
		size_t page = next_random(random) % field->pages;

		if (field->kind == KIND_SHARED || field->kind == KIND_HUGE)
			continue;
		if (next_random(random) % 4)
			fields_write(field, page, true);
		else
			fields_remove(field, page, 1 + next_random(random) % (field->pages - page));
	}
}

static _Noreturn void run(uint64_t seed, unsigned int depth)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	link_close(&fields.link);
	if (fields.link.uffd >= 0)
		close(fields.link.uffd); /* the parent's */
	fields.link.uffd = -1;

	uint64_t token = take_token();

	if (next_random(&seed) % 2)
		introduce(token, next_random(&seed) % 2);
	fields_verify(seed, true);
	change(&seed);
	if (depth < MAX_DEPTH && next_random(&seed) % 3 == 0)
		child_await(child_fork(next_random(&seed), depth + 1));
	fields_verify(seed, true);
	_exit(0);
}

pid_t child_fork(uint64_t seed, unsigned int depth)
{
	watch_begin("forks");
	pid_t pid = fork();

	if (pid < 0)
		watch_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		watch_number += MAX_THREADS;
		run(seed, depth);
	}
	watch_end();
	watch->forks++;
	return pid;
}

void child_await(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			watch_fail("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		watch->orphans++;
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ORPHANED) {
		watch->orphans++;
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_WRONG) {
		_exit(EXIT_WRONG); /* it has said what is wrong */
	} else if (status != 0) {
		watch_fail("child %d ended with status 0x%x", pid, (unsigned int)status);
	}
}
