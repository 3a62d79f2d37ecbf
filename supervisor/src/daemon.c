#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "release.h"
#include "supervisor.h"

#define FIRST_BACKOFF (100 * MILLISECOND)
#define PROBE_INTERVAL SECOND

static double seconds(uint64_t time)
{
	return (double)time / SECOND;
}

void daemon_signal(struct supervisor *self, int number)
{
	/* Nobody else reaps it, so the number cannot belong to another process. */
	if (self->pid && kill(self->pid, number) != 0)
		log_line("cannot send SIG%s to process %d: %s", sigabbrev_np(number), self->pid,
			 strerror(errno));
}

/* ---- ready file ---- */

static void ready_file_make(const struct supervisor *self)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%d\n", self->pid);
	int fd;

	if (!self->options->ready_file)
		return;
	fd = open(self->options->ready_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		log_line("cannot write the ready file %s: %s, ignoring", self->options->ready_file,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void ready_file_remove(const struct supervisor *self)
{
	if (self->options->ready_file && unlink(self->options->ready_file) != 0 && errno != ENOENT)
		log_line("cannot remove the ready file %s: %s, ignoring", self->options->ready_file,
			 strerror(errno));
}

/* ---- from state to state ---- */

static void be(struct supervisor *self, enum state state, uint64_t timeout)
{
	self->state = state;
	self->deadline = timeout ? clock_now() + timeout : 0;
}

static void wait_and_start(struct supervisor *self)
{
	uint64_t delay = 0;

	if (self->failures) {
		unsigned doublings = self->failures < 32 ? self->failures - 1 : 31;

		delay = FIRST_BACKOFF << doublings;
		if (delay > self->options->backoff_max)
			delay = self->options->backoff_max;
	}
	self->failures++;
	be(self, WAITING, delay ? delay : 1);
	if (delay)
		log_line("starting again in %.1f s (end number %u in a row); %u descriptors are "
			 "kept",
			 seconds(delay), self->failures, self->store.count);
}

void daemon_start(struct supervisor *self)
{
	unsigned stored = self->store.count;

	spawn_clear(&self->spawn);
	for (unsigned i = 0; i < self->options->listen_count; i++)
		spawn_add(&self->spawn, self->listeners[i], self->options->listen[i].name);
	for (unsigned i = 0; i < stored; i++)
		spawn_add(&self->spawn, self->store.entries[i].fd, self->store.entries[i].name);
	self->watchdog = self->options->watchdog;
	self->watchdog_deadline = 0;
	self->wish = NO_WISH;
	self->is_aborting = self->is_killed = false;
	self->pending_hups = self->pending_usr1s = 0;
	self->status[0] = 0;
	self->started = clock_now();
	ready_file_remove(self);
	/* What strangers have said meanwhile must not be taken for the new daemon's, whose number
	 * one of them may have had. */
	messages_hear(self, MESSAGES_QUEUED);
	self->pid = spawn_run(&self->spawn, self->watchdog, &self->exec_report);
	if (self->pid < 0) {
		self->pid = 0;
		log_line("cannot start %s: %s", self->options->command[0], strerror(errno));
		wait_and_start(self);
		return;
	}
	log_line("started %s as process %d with %u sockets and %u kept descriptors",
		 self->options->command[0], self->pid, self->options->listen_count, stored);
	be(self, STARTING, self->options->start_timeout);
}

static void finish(struct supervisor *self)
{
	log_line("ends with exit code %d", self->exit_code);
	be(self, OVER, 0);
}

/* The end of everything: the store is let go, and processes that depend on it with it. */
static void let_go(struct supervisor *self)
{
	unsigned held;

	if (self->store.count)
		log_line("lets go of %u kept descriptors", self->store.count);
	held = release_store(&self->store);
	if (!held) {
		finish(self);
		return;
	}
	log_line("holds %u userfaultfds until their processes have ended; SIGTERM lets go of them "
		 "all the same",
		 held);
	be(self, RELEASING, PROBE_INTERVAL);
}

static void give_up(struct supervisor *self)
{
	log_line("GIVES UP: exit code %d means that starting again makes no sense "
		 "(--no-restart-on)",
		 self->exit_code);
	if (!self->options->keep_on_give_up) {
		let_go(self);
		return;
	}
	log_line("keeps %u descriptors (--on-give-up=keep): their processes wait; SIGUSR2 starts "
		 "the daemon again, SIGTERM ends it all",
		 self->store.count);
	be(self, HOLDING, 0);
}

static void tell_to_stop(struct supervisor *self)
{
	daemon_signal(self, SIGINT);
	be(self, ENDING, self->options->stop_timeout);
}

void daemon_stop(struct supervisor *self, const char *why)
{
	switch (self->state) {
	case STARTING:
	case RUNNING:
	case ENDING:
		if (self->wish == STOP) {
			log_line("%s: is stopping already", why);
			return;
		}
		log_line("%s: stopping process %d", why, self->pid);
		self->wish = STOP;
		self->watchdog_deadline = 0;
		if (self->is_aborting || self->is_killed)
			return;
		/* A daemon that cannot take signals yet would just die, and its sessions with it.
		 * READY or the deadline comes first. */
		if (self->state == STARTING && self->store.count)
			be(self, STARTING, self->options->stop_timeout);
		else
			tell_to_stop(self);
		break;
	case WAITING:
	case HOLDING:
		log_line("%s: ends", why);
		let_go(self);
		break;
	case RELEASING:
		log_line("%s: ends", why);
		release_all(&self->store);
		finish(self);
		break;
	case OVER:
		break;
	}
}

void daemon_restart(struct supervisor *self)
{
	switch (self->state) {
	case STARTING:
	case RUNNING:
	case ENDING:
		if (self->wish == STOP) {
			log_line("SIGUSR2: is stopping, ignored");
			return;
		}
		log_line("SIGUSR2: restarting process %d", self->pid);
		if (self->wish == RESTART || self->is_aborting || self->is_killed) {
			self->wish = RESTART;
			return;
		}
		self->wish = RESTART;
		self->watchdog_deadline = 0;
		daemon_signal(self, SIGTERM);
		be(self, ENDING, self->options->stop_timeout);
		break;
	case WAITING:
	case HOLDING:
		log_line("SIGUSR2: starting at once");
		self->failures = 0;
		daemon_start(self);
		break;
	case RELEASING:
		log_line("SIGUSR2: sessions have been let go of already, ignored");
		break;
	case OVER:
		break;
	}
}

void daemon_abort(struct supervisor *self, const char *why)
{
	const bool politely = self->options->abort_timeout != 0;

	log_line("%s: sending %s to process %d%s%s", why, politely ? "SIGABRT" : "SIGKILL",
		 self->pid, self->status[0] ? "; its last status: " : "", self->status);
	self->is_aborting = true;
	self->is_killed = !politely;
	self->watchdog_deadline = 0;
	daemon_signal(self, politely ? SIGABRT : SIGKILL);
	be(self, ENDING, politely ? self->options->abort_timeout : 10 * SECOND);
}

static void kill_daemon(struct supervisor *self)
{
	if (self->is_killed) {
		log_line("process %d has been killed and still has not ended", self->pid);
	} else {
		log_line("process %d has not ended in time: sending SIGKILL", self->pid);
		daemon_signal(self, SIGKILL);
	}
	self->is_killed = true;
	be(self, ENDING, 10 * SECOND);
}

/* ---- the daemon's end ---- */

static void explain_end(const struct supervisor *self, pid_t pid, const siginfo_t *end)
{
	double life = seconds(clock_now() - self->started);
	const char *colon = self->status[0] ? "; its last status: " : "";

	if (end->si_code == CLD_EXITED)
		log_line("process %d ended with exit code %d after %.3f s%s%s", pid, end->si_status,
			 life, colon, self->status);
	else
		log_line("process %d was ended by SIG%s%s after %.3f s%s%s", pid,
			 sigabbrev_np(end->si_status) ? sigabbrev_np(end->si_status) : "?",
			 end->si_code == CLD_DUMPED ? " (core dumped)" : "", life, colon,
			 self->status);
}

void daemon_ended(struct supervisor *self, const siginfo_t *end)
{
	pid_t pid = self->pid;
	int exec_error = 0;

	if (read(self->exec_report, &exec_error, sizeof(exec_error)) != sizeof(exec_error))
		exec_error = 0;
	close(self->exec_report);
	self->pid = 0;
	self->watchdog_deadline = 0;
	ready_file_remove(self);
	self->exit_code = end->si_code == CLD_EXITED ? end->si_status : 128 + end->si_status;
	if (exec_error) {
		log_line("cannot run %s: %s", self->options->command[0], strerror(exec_error));
		self->exit_code = EX_UNAVAILABLE;
	} else {
		self->has_run = true;
		explain_end(self, pid, end);
	}
	if (self->wish == STOP || (exec_error && !self->has_run)) {
		let_go(self);
	} else if (self->wish == RESTART && !exec_error) {
		self->failures = 0;
		daemon_start(self);
	} else if (!exec_error && end->si_code == CLD_EXITED &&
		   self->options->no_restart_on[end->si_status]) {
		give_up(self);
	} else {
		/* A program that is not there for the moment is being replaced. */
		if (clock_now() - self->started >= self->options->stable && !exec_error)
			self->failures = 0;
		wait_and_start(self);
	}
}

/* ---- what it says, and does not say in time ---- */

void daemon_is_ready(struct supervisor *self)
{
	if (self->state == STARTING) {
		log_line("process %d is ready after %.3f s%s%s", self->pid,
			 seconds(clock_now() - self->started), self->status[0] ? ": " : "",
			 self->status);
		ready_file_make(self);
		if (self->wish == STOP) {
			tell_to_stop(self);
			return;
		}
		be(self, RUNNING, 0);
		if (self->watchdog)
			self->watchdog_deadline = clock_now() + self->watchdog;
		for (; self->pending_hups; self->pending_hups--)
			daemon_signal(self, SIGHUP);
		for (; self->pending_usr1s; self->pending_usr1s--)
			daemon_signal(self, SIGUSR1);
	} else if (self->state == RUNNING) {
		log_line("process %d has reloaded", self->pid);
	}
}

void daemon_is_stopping(struct supervisor *self)
{
	if (self->state != RUNNING && self->state != STARTING)
		return;
	log_line("process %d is stopping by itself", self->pid);
	ready_file_remove(self);
	self->watchdog_deadline = 0;
	be(self, ENDING, self->options->stop_timeout);
}

void daemon_deadline(struct supervisor *self)
{
	switch (self->state) {
	case STARTING:
		if (self->wish == STOP)
			tell_to_stop(self);
		else
			daemon_abort(self, "the daemon is not ready in time");
		break;
	case ENDING:
		kill_daemon(self);
		break;
	case WAITING:
		daemon_start(self);
		break;
	case RELEASING:
		if (release_ended(&self->store))
			be(self, RELEASING, PROBE_INTERVAL);
		else
			finish(self);
		break;
	case RUNNING:
	case HOLDING:
	case OVER:
		self->deadline = 0;
		break;
	}
}
