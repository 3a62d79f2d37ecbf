#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "clock.h"
#include "descriptor.h"
#include "log.h"
#include "release.h"

/* A killed process ends at once, unless it hangs in the kernel; but it never returns to its
 * program. */
#define DEATH_PATIENCE (5 * SECOND)
#define NAMES_SHOWN 20

/*
 * Whether the address space behind a userfaultfd still exists. The kernel looks for it before it
 * looks for the range, and says ESRCH; a range of almost everything is never one mapping, so
 * nothing else can come of it.
 */
static bool address_space_lives(int userfaultfd)
{
	struct uffdio_zeropage everything = {
		.range = {.start = 1 << 20, .len = (UINT64_C(1) << 46) - (1 << 20)}};

	return ioctl(userfaultfd, UFFDIO_ZEROPAGE, &everything) == 0 || errno != ESRCH;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct stored *)left)->name, ((const struct stored *)right)->name);
}

static bool has_ended(int pidfd, int timeout_ms)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	return poll(&end, 1, timeout_ms) == 1;
}

/* Whether nobody of this session can run any more. */
static bool kill_session(struct stored *entries, unsigned count, unsigned *killed)
{
	bool is_dead = false;

	for (unsigned i = 0; i < count; i++) {
		if (descriptor_kind(entries[i].fd) != DESCRIPTOR_PIDFD)
			continue;
		if (has_ended(entries[i].fd, 0)) {
			is_dead = true;
		} else if (syscall(SYS_pidfd_send_signal, entries[i].fd, SIGKILL, NULL, 0) == 0) {
			is_dead = entries[i].is_killed = true;
			++*killed;
			log_line("%s: its process is killed, because it would read zeros from now "
				 "on",
				 entries[i].name);
		} else {
			log_line("%s: its process cannot be killed: %s", entries[i].name,
				 strerror(errno));
		}
	}
	return is_dead;
}

static bool has_userfaultfd(const struct stored *entries, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (descriptor_kind(entries[i].fd) == DESCRIPTOR_USERFAULTFD)
			return true;
	return false;
}

static unsigned session_length(const struct store *store, unsigned first)
{
	unsigned last = first + 1;

	while (last < store->count &&
	       strcmp(store->entries[first].name, store->entries[last].name) == 0)
		last++;
	return last - first;
}

static void await_deaths(const struct store *store)
{
	uint64_t end = clock_now() + DEATH_PATIENCE;

	for (unsigned i = 0; i < store->count; i++) {
		uint64_t now = clock_now();
		int left = now < end ? (int)((end - now) / MILLISECOND) : 0;

		if (store->entries[i].is_killed && !has_ended(store->entries[i].fd, left))
			log_line("%s: its process is killed but has not ended yet",
				 store->entries[i].name);
	}
}

/* Entries that must stay are the ones with an id: those of the others are cleared. */
static bool may_go(const struct stored *entry, void *unused)
{
	(void)unused;
	return entry->id == 0;
}

unsigned release_store(struct store *store)
{
	unsigned killed = 0, shown = 0;

	qsort(store->entries, store->count, sizeof(*store->entries), by_name);
	for (unsigned i = 0, length; i < store->count; i += length) {
		struct stored *session = &store->entries[i];
		bool is_safe;

		length = session_length(store, i);
		is_safe =
			!has_userfaultfd(session, length) || kill_session(session, length, &killed);
		for (unsigned j = 0; j < length; j++) {
			if (is_safe || descriptor_kind(session[j].fd) != DESCRIPTOR_USERFAULTFD ||
			    !address_space_lives(session[j].fd))
				session[j].id = 0;
			else if (shown++ < NAMES_SHOWN)
				log_line(
					"%s: its process lives, and there is no way to end it: its "
					"userfaultfd is held",
					session[j].name);
		}
	}
	if (killed)
		await_deaths(store);
	store_remove_if(store, may_go, NULL);
	return store->count;
}

static bool is_gone(const struct stored *entry, void *unused)
{
	(void)unused;
	return !address_space_lives(entry->fd);
}

unsigned release_ended(struct store *store)
{
	store_remove_if(store, is_gone, NULL);
	return store->count;
}

static bool any(const struct stored *entry, void *unused)
{
	(void)unused;
	log_line("%s: let go of its userfaultfd: its process reads zeros from now on", entry->name);
	return true;
}

void release_all(struct store *store)
{
	store_remove_if(store, any, NULL);
}
