/* child.c - forked children, who inherit what their parent's worker knows. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "page.h"
#include "record.h"
#include "watch.h"
#include "work.h"

#define CHANGES 32

/* Reads the first word of the mailbox. Without a manager it is zero, and so would everything else
 * be. */
static void introduce(void)
{
	watch_begin("reads its mailbox");
	uint64_t token = *(volatile uint64_t *)model.mailbox;

	watch_end();
	if (token == 0)
		_exit(EXIT_ORPHANED);
	link_close(&model.link);
	if (model.link.uffd >= 0)
		close(model.link.uffd); /* the parent's */
	model.link = (struct link){
		.path = model.link.path,
		.policy = "",
		.label = "model-child",
		.patience = model.link.patience,
	};
	watch_begin("introduces itself");
	link_open_child(&model.link, token);
	watch_end();
}

static bool is_own(const struct region *region, size_t page, unsigned int number)
{
	return region->shape.kind != KIND_HUGE && owner_of(region, page) == number;
}

static void check(struct worker *own)
{
	for (unsigned int i = 0; i < model.regions; i++)
		for (size_t page = 0; page < model.region[i].shape.pages; page++)
			if (is_own(&model.region[i], page, own->number))
				page_check(&model.region[i], page, true, 0);
}

static _Noreturn void be_child(struct worker *own)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	record[own->number].open = false;
	if (next_random(&own->random) % 2)
		introduce();
	check(own);
	for (int i = 0; i < CHANGES; i++) {
		struct region *region = &model.region[next_random(&own->random) % model.regions];
		size_t page = next_random(&own->random) % region->shape.pages;

		if (region->shape.kind == KIND_SHARED || !is_own(region, page, own->number))
			continue;
		if (next_random(&own->random) % 4)
			work_write(own, region, page);
		else
			work_remove(own, region, page, 1);
	}
	check(own);
	_exit(0);
}

void child_run(struct worker *own)
{
	int status;

	work_note(own, "forks", &model.region[0], 0, 0);
	watch_begin("forks");
	pid_t pid = fork();

	if (pid < 0)
		watch_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		watch_number += MAX_THREADS;
		be_child(own);
	}
	watch_end();
	watch->forks++;
	(void)next_random(&own->random); /* not what the child does */
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
