#include "child.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fields.h"
#include "forks.h"
#include "watch.h"

#define CHANGES 64

static uint64_t take_token(void)
{
	uint64_t token = fork_read_mailbox(fields.mailbox);

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
	link_disown(&fields.link);

	uint64_t token = take_token();

	if (next_random(&seed) % 2)
		introduce(token, next_random(&seed) % 2);
	fields_verify(seed, true);
	change(&seed);
	if (depth < MAX_DEPTH && next_random(&seed) % 3 == 0)
		fork_await(child_fork(next_random(&seed), depth + 1));
	fields_verify(seed, true);
	_exit(0);
}

pid_t child_fork(uint64_t seed, unsigned int depth)
{
	pid_t pid = fork_watched();

	if (pid == 0)
		run(seed, depth);
	return pid;
}
