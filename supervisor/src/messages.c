#include <stdint.h>
#include <string.h>
#include "supervisor.h"

static void keep(struct supervisor *self, struct notification *message)
{
	static struct log_limit full, duplicate;
	const char *name = message->name ? message->name : "stored";
	unsigned added = 0, refused = 0, duplicates = 0;
	enum store_outcome outcome, reason = STORE_ADDED;
	const char *same_as = "";

	for (unsigned i = 0; i < message->fd_count; i++) {
		outcome = store_add(&self->store, name, message->fds[i], message->is_polled,
				    &same_as);
		message->fds[i] = -1;
		if (outcome == STORE_ADDED) {
			added++;
		} else if (outcome == STORE_DUPLICATE) {
			duplicates++;
			if (strcmp(same_as, name) != 0)
				log_limited(&duplicate,
					    "%s: a descriptor is the same as one of %s, and stays "
					    "under that name only",
					    name, same_as);
		} else {
			refused++;
			reason = outcome;
		}
	}
	log_detail("%s: %u descriptors kept, %u were there already; %u in all", name, added,
		   duplicates, self->store.count);
	if (refused && reason == STORE_FULL)
		log_limited(&full,
			    "%s: %u descriptors are NOT kept: the store is full (%u, --store-max)",
			    name, refused, self->store.max);
	else if (refused)
		log_limited(&full,
			    "%s: %u descriptors are NOT kept: the names of %u kept ones fill "
			    "LISTEN_FDNAMES (%zu bytes)",
			    name, refused, self->store.count, self->store.name_bytes_max);
	if (message->lost_some)
		log_limited(&full,
			    "%s: some descriptors are NOT kept, only %u arrived: there are too "
			    "many open files in this process or in the system",
			    name, message->fd_count);
}

static void forget(struct supervisor *self, const struct notification *message)
{
	static struct log_limit nameless;
	unsigned removed;

	if (!message->name) {
		log_limited(&nameless, "FDSTOREREMOVE without a valid FDNAME, ignoring");
		return;
	}
	removed = store_remove(&self->store, message->name);
	log_detail("%s: %u descriptors removed; %u in all", message->name, removed,
		   self->store.count);
}

static void set_status(struct supervisor *self, const char *text)
{
	char status[sizeof(self->status)];

	if (strcmp(log_safe(status, sizeof(status), text), self->status) == 0)
		return;
	memcpy(self->status, status, sizeof(status));
	log_detail("process %d: %s", self->pid, status);
}

static void extend(struct supervisor *self, uint64_t time)
{
	uint64_t until = clock_now() + time;

	if ((self->state == STARTING || (self->state == ENDING && !self->is_killed)) &&
	    self->deadline && time < UINT64_MAX / 4 && until > self->deadline)
		self->deadline = until;
}

static void hear(struct supervisor *self, struct notification *message)
{
	static struct log_limit limit;

	if (message->is_barrier) {
		/* Whoever waits for it sees the descriptor closed, after everything before it. */
		if (message->fd_count != 1)
			log_limited(&limit, "a barrier comes with one descriptor, not %u, ignoring",
				    message->fd_count);
		notify_close(message);
		return;
	}
	if (message->status)
		set_status(self, message->status);
	if (message->error)
		log_limited(&limit, "process %d reports an error: %s", message->sender,
			    strerror(message->error));
	if (message->is_remove)
		forget(self, message);
	if (message->is_store)
		keep(self, message);
	else if (message->fd_count)
		log_limited(&limit, "%u descriptors came without FDSTORE=1, ignoring",
			    message->fd_count);
	if (message->is_reloading && self->state == RUNNING)
		log_line("process %d is reloading", self->pid);
	if (message->is_ready)
		daemon_is_ready(self);
	if (message->is_stopping)
		daemon_is_stopping(self);
	if (message->extend)
		extend(self, message->extend);
	if (message->watchdog) {
		self->watchdog = message->watchdog;
		message->is_alive = true;
	}
	if (message->is_alive && self->state == RUNNING && self->watchdog)
		self->watchdog_deadline = clock_now() + self->watchdog;
	if (message->wants_abort && self->pid && !self->is_aborting && !self->is_killed)
		daemon_abort(self, "the daemon asks for it (WATCHDOG=trigger)");
	notify_close(message);
}

void messages_hear(struct supervisor *self, unsigned most)
{
	enum notify_outcome outcome;

	while (most-- &&
	       (outcome = notify_receive(self->notify, self->pid, &self->message)) != NOTIFY_EMPTY)
		if (outcome == NOTIFY_MESSAGE)
			hear(self, &self->message);
}
