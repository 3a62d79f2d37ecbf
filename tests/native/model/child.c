/* child.c - forked children, who inherit what their parent's worker knows. */
#include <unistd.h>

#include "forks.h"
#include "page.h"
#include "record.h"
#include "watch.h"
#include "work.h"

#define CHANGES 32

static void introduce(void)
{
	uint64_t token = fork_read_mailbox(model.mailbox);

	link_disown(&model.link);
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

/* Who was forked while the manager was being killed reads zeros until the next one kills it: nobody
 * has its userfaultfd. Its mailbox says so, if nobody has read it yet. */
static void doubt(void)
{
	(void)fork_read_mailbox(model.mailbox);
	work_report();
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
	record[own->number].open = false;
	watch_before_failing = doubt;
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
	work_note(own, "forks", &model.region[0], 0, 0);
	pid_t pid = fork_watched();

	if (pid == 0)
		be_child(own);
	(void)next_random(&own->random); /* not what the child does */
	fork_await(pid);
}
