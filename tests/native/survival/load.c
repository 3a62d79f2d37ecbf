/* load.c - threads that read, write, give up, move, unmap and fork, all at the same memory. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "child.h"
#include "forks.h"
#include "layout.h"
#include "modes.h"
#include "watch.h"

#define PROGRESS 200000000 /* ns between two lines */

struct worker {
	pthread_t thread;
	unsigned int number;
	uint64_t random;
};

static const struct run *options;
static atomic_bool stopping;
static _Atomic int64_t next_fork;

/* Shared by who changes a field, exclusive for who forks: what is inherited must be known. */
static pthread_rwlock_t changes;

static struct field *pick_field(uint64_t *random)
{
	return &fields.field[next_random(random) % fields.count];
}

static bool can_move(const struct field *field)
{
	return field->kind != KIND_HUGE;
}

static void on_pages(uint64_t *random, unsigned int choice)
{
	struct field *field = pick_field(random);
	size_t page = next_random(random) % field->pages;
	size_t few = field->pages < 8 ? 1 : field->pages / 8;
	size_t count = 1 + next_random(random) % few;

	if (page + count > field->pages)
		count = field->pages - page;
	pthread_rwlock_rdlock(&changes);
	pthread_rwlock_rdlock(&field->lock);
	uint64_t start = (uint64_t)(uintptr_t)(field->base + page * field->page_bytes);

	if (choice < 180) {
		fields_write(field, page, choice < 40);
	} else if (choice < 300) {
		fields_remove(field, page, count);
	} else if (choice < 304) {
		watch_begin("prefetches");
		link_prefetch(&fields.link, start, count * field->page_bytes);
		watch_end();
	} else if (choice < 308 && field->protect) {
		watch_begin("protects pages");
		link_protect(&fields.link, start, count * field->page_bytes);
		watch_end();
	}
	pthread_rwlock_unlock(&field->lock);
	pthread_rwlock_unlock(&changes);
}

static void on_layout(uint64_t *random, unsigned int choice)
{
	struct field *field = pick_field(random);
	struct field *victim = pick_field(random);

	pthread_rwlock_rdlock(&changes);
	if (choice < 10 || !can_move(field))
		layout_renew_part(field, random);
	else if (choice < 16)
		layout_renew(field, random);
	else if (choice < 26)
		layout_move(field);
	else if (choice < 34)
		layout_move_part(field, random);
	else if (victim != field && can_move(victim))
		layout_move_onto(field, victim, random);
	pthread_rwlock_unlock(&changes);
}

static void fork_now_and_then(uint64_t *random)
{
	int64_t due = atomic_load(&next_fork);
	int64_t now = watch_now();

	if (options->fork_interval == 0 || now < due ||
	    !atomic_compare_exchange_strong(&next_fork, &due,
					    now + options->fork_interval * 1000000l))
		return;
	pthread_rwlock_wrlock(&changes);
	pid_t pid = child_fork(next_random(random), 1);

	pthread_rwlock_unlock(&changes);
	fork_await(pid);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t *random = &worker->random;

	watch_number = worker->number;
	while (!atomic_load(&stopping)) {
		unsigned int choice = next_random(random) % 1000;

		if (choice < 310) {
			on_pages(random, choice);
		} else if (choice < 350) {
			on_layout(random, choice - 310);
		} else if (choice < 352) {
			watch_begin("asks for the status");
			link_status(&fields.link);
			watch_end();
		} else if (choice < 360) {
			fork_now_and_then(random);
		} else {
			struct field *field = pick_field(random);

			fields_read(field, next_random(random) % field->pages);
		}
		watch->operations++;
		if (options->pace) /* the size of the load, not an order of events */
			nanosleep(&(struct timespec){.tv_nsec = options->pace * 1000l}, NULL);
	}
	return NULL;
}

static enum kind kind_named(char letter)
{
	static const char letters[] = "fzpsh";
	const char *found = strchr(letters, letter);

	if (!found)
		usage_error("--kinds has a letter that is none");
	return (enum kind)(found - letters);
}

static void create(struct field *field, unsigned int number)
{
	char name[64] = "";

	field->number = number;
	field->kind = kind_named(options->kinds[number % strlen(options->kinds)]);
	field->memfd = -1;
	field->page_bytes = field->kind == KIND_HUGE ? HUGE_PAGE : BASE_PAGE;
	field->pages = field->kind == KIND_HUGE ? 2 : options->pages;
	field->offset = field->kind == KIND_HUGE ? 0 : number * options->pages * BASE_PAGE;
	field->protect = options->protect && (field->kind == KIND_FILE || field->kind == KIND_ZERO);
	if (field->kind == KIND_PRIVATE || field->kind == KIND_SHARED)
		field->remove_source = true;
	else if (field->kind != KIND_ZERO)
		field->remove_source = strcmp(options->remove, "source") == 0 ||
				       (strcmp(options->remove, "both") == 0 && number % 2);
	field->page = calloc(field->pages, sizeof(*field->page));
	if (!field->page)
		watch_fail("no memory");
	if (field->kind == KIND_SHARED)
		snprintf(name, sizeof(name), "survival-%d-%u", getpid(), number);
	if (field->kind == KIND_PRIVATE || field->kind == KIND_SHARED)
		field->memfd = link_map(&fields.link, field->offset + field->pages * BASE_PAGE,
					fields.source, NULL, name, &field->map_id);
	layout_create(field);
}

static void set_up(const struct run *run)
{
	pthread_rwlockattr_t attributes;

	options = run;
	watch_create(run->seed);
	fields_catch_signals();
	fields.source = run->source ? open(run->source, O_RDONLY | O_CLOEXEC) : -1;
	if (fields.source < 0 && strspn(run->kinds, "z") != strlen(run->kinds))
		watch_fail("the source %s: %s", run->source ? run->source : "is not given",
			   strerror(errno));
	fields.link = (struct link){
		.path = run->socket,
		.policy = run->policy,
		.label = "survival",
		.patience = run->patience,
		.keeper = run->keeper,
	};
	link_open(&fields.link);
	if (run->fork_interval)
		layout_create_mailbox();
	for (fields.count = 0; fields.count < run->fields; fields.count++)
		create(&fields.field[fields.count], fields.count);
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&changes, &attributes);
}

/* A line about the progress now and then, until the time is over or SIGTERM says so. */
static void watch_run(const struct run *run, const sigset_t *signals)
{
	int64_t end = watch_now() + (int64_t)run->seconds * 1000000000;

	while (run->seconds == 0 || watch_now() < end) {
		const char *what;

		if (sigtimedwait(signals, NULL, &(struct timespec){.tv_nsec = PROGRESS}) > 0)
			break;
		watch_print("progress");
		if (watch_longest(&what) > (int64_t)run->patience * 1000000000)
			watch_fail("a thread that %s has waited for %u s", what, run->patience);
	}
}

int mode_load(const struct run *run)
{
	static struct worker workers[MAX_THREADS];
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	set_up(run);
	printf("attached session=%lu seed=%lu\n", fields.link.session, run->seed);
	fflush(stdout);
	for (unsigned int i = 0; i < run->threads; i++) {
		workers[i] = (struct worker){
			.number = i + 1,
			.random = (run->seed + i + 1) * 0x9e3779b97f4a7c15ull | 1,
		};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			watch_fail("no thread");
	}
	watch_run(run, &signals);
	atomic_store(&stopping, true);
	/* A thread that hangs must not keep this one from saying so. */
	for (unsigned int i = 0; i < run->threads; i++) {
		struct timespec deadline;

		clock_gettime(CLOCK_REALTIME, &deadline);
		deadline.tv_sec += run->patience;
		if (pthread_timedjoin_np(workers[i].thread, NULL, &deadline))
			watch_fail("thread %u hangs: it %s", i + 1, watch->slots[i + 1].what);
	}
	fields_verify(run->seed | 1, false);
	watch_print("ok");
	return 0;
}
