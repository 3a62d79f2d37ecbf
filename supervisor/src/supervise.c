#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "notify.h"
#include "release.h"
#include "sockets.h"
#include "spawn.h"
#include "store.h"
#include "supervise.h"

#define FIRST_BACKOFF (100 * MILLISECOND)
#define PROBE_INTERVAL SECOND
/* How many messages are taken before signals and deadlines get their turn. */
#define MESSAGES_PER_TURN 256
/* More than any queue of a datagram socket holds: what a dead daemon has said is read to the end.
 */
#define MESSAGES_OF_THE_DEAD 65536
#define EVENTS_PER_TURN 64

/* What epoll reports: ids of stored descriptors, which count from 1, or one of these. */
#define KEY_NOTIFY UINT64_MAX
#define KEY_SIGNALS (UINT64_MAX - 1)

enum state {
	STARTING, /* runs, and has not said READY=1 */
	RUNNING,
	ENDING,	   /* has been told to end, or has said STOPPING=1 */
	WAITING,   /* is not there; the next one starts at the deadline */
	HOLDING,   /* given up, and everything is kept until a signal comes */
	RELEASING, /* given up, but userfaultfds of processes that nobody can end are left */
	OVER,
};

enum wish { NO_WISH, RESTART, STOP };

struct supervisor {
	const struct options *options;
	struct store store;
	struct spawn spawn;
	int listeners[MAX_LISTEN];
	struct socket_file listener_files[MAX_LISTEN];
	struct socket_file notify_file;
	char notify_address[128];
	int epoll, signals, notify;

	enum state state;
	enum wish wish;
	uint64_t deadline; /* of the state; 0: none */
	pid_t pid;	   /* 0: there is no daemon */
	int exec_report;
	uint64_t started;
	uint64_t watchdog; /* 0: off */
	uint64_t watchdog_deadline;
	unsigned failures; /* unexpected ends in a row */
	unsigned starts;
	bool has_run;	  /* exec has succeeded once */
	bool is_aborting; /* SIGABRT has been sent: no other signal helps */
	bool is_killed;	  /* SIGKILL has been sent */
	bool stop_is_sent;
	unsigned pending_hups, pending_usr1s;
	char status[160];
	int exit_code;
	struct notification message;
};

static double seconds(uint64_t time)
{
	return (double)time / SECOND;
}

static void send_signal(struct supervisor *self, int number)
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

static void start(struct supervisor *self)
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
	self->is_aborting = self->is_killed = self->stop_is_sent = false;
	self->pending_hups = self->pending_usr1s = 0;
	self->status[0] = 0;
	self->started = clock_now();
	self->pid = spawn_run(&self->spawn, self->watchdog, &self->exec_report);
	if (self->pid < 0) {
		self->pid = 0;
		log_line("cannot start %s: %s", self->options->command[0], strerror(errno));
		wait_and_start(self);
		return;
	}
	self->starts++;
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
	self->stop_is_sent = true;
	send_signal(self, SIGINT);
	be(self, ENDING, self->options->stop_timeout);
}

static void stop(struct supervisor *self, const char *why)
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

static void restart(struct supervisor *self)
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
		send_signal(self, SIGTERM);
		be(self, ENDING, self->options->stop_timeout);
		break;
	case WAITING:
	case HOLDING:
		log_line("SIGUSR2: starting at once");
		self->failures = 0;
		start(self);
		break;
	case RELEASING:
		log_line("SIGUSR2: sessions have been let go of already, ignored");
		break;
	case OVER:
		break;
	}
}

static void abort_daemon(struct supervisor *self, const char *why)
{
	log_line("%s: sending SIGABRT to process %d%s%s", why, self->pid,
		 self->status[0] ? "; its last status: " : "", self->status);
	self->is_aborting = true;
	self->watchdog_deadline = 0;
	send_signal(self, SIGABRT);
	be(self, ENDING, self->options->abort_timeout ? self->options->abort_timeout : 1);
}

static void kill_daemon(struct supervisor *self)
{
	if (self->is_killed) {
		log_line("process %d has been killed and still has not ended", self->pid);
	} else {
		log_line("process %d has not ended in time: sending SIGKILL", self->pid);
		send_signal(self, SIGKILL);
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

static void daemon_ended(struct supervisor *self, const siginfo_t *end)
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
		start(self);
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

/* ---- messages ---- */

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

static void be_ready(struct supervisor *self)
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
			send_signal(self, SIGHUP);
		for (; self->pending_usr1s; self->pending_usr1s--)
			send_signal(self, SIGUSR1);
	} else if (self->state == RUNNING) {
		log_line("process %d has reloaded", self->pid);
	}
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
		be_ready(self);
	if (message->is_stopping && (self->state == RUNNING || self->state == STARTING)) {
		log_line("process %d is stopping by itself", self->pid);
		ready_file_remove(self);
		self->watchdog_deadline = 0;
		be(self, ENDING, self->options->stop_timeout);
	}
	if (message->extend)
		extend(self, message->extend);
	if (message->watchdog) {
		self->watchdog = message->watchdog;
		message->is_alive = true;
	}
	if (message->is_alive && self->state == RUNNING && self->watchdog)
		self->watchdog_deadline = clock_now() + self->watchdog;
	if (message->wants_abort && self->pid && !self->is_aborting && !self->is_killed)
		abort_daemon(self, "the daemon asks for it (WATCHDOG=trigger)");
	notify_close(message);
}

static void hear_all(struct supervisor *self, unsigned most)
{
	enum notify_outcome outcome;

	while (most-- &&
	       (outcome = notify_receive(self->notify, self->pid, &self->message)) != NOTIFY_EMPTY)
		if (outcome == NOTIFY_MESSAGE)
			hear(self, &self->message);
}

/* ---- signals ---- */

static void reap(struct supervisor *self)
{
	siginfo_t end;

	for (;;) {
		end.si_pid = 0;
		/* Looked at first: as long as it is not reaped, its number is its own, and what it
		 * has said can still be told from what others say. */
		if (waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) != 0 || !end.si_pid)
			return;
		if (end.si_pid == self->pid) {
			hear_all(self, MESSAGES_OF_THE_DEAD);
			waitid(P_PID, (id_t)end.si_pid, &end, WEXITED | WNOHANG);
			daemon_ended(self, &end);
		} else {
			waitid(P_PID, (id_t)end.si_pid, &end, WEXITED | WNOHANG);
			log_detail("reaped process %d, an orphan", end.si_pid);
		}
	}
}

static void pass_on(struct supervisor *self, int number, unsigned *pending)
{
	if (self->state == RUNNING || self->state == ENDING) {
		log_line("SIG%s: passed on to process %d", sigabbrev_np(number), self->pid);
		send_signal(self, number);
	} else if (self->state == STARTING) {
		/* It has no handler yet, and would die of it. */
		log_line("SIG%s: will be passed on when the daemon is ready", sigabbrev_np(number));
		*pending = 1;
	} else {
		log_line("SIG%s: there is no daemon, ignored", sigabbrev_np(number));
	}
}

static void handle_signals(struct supervisor *self)
{
	struct signalfd_siginfo info;

	while (read(self->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(self);
			break;
		case SIGTERM:
			stop(self, "SIGTERM");
			break;
		case SIGINT:
			stop(self, "SIGINT");
			break;
		case SIGQUIT:
			stop(self, "SIGQUIT");
			break;
		case SIGUSR2:
			restart(self);
			break;
		case SIGHUP:
			pass_on(self, SIGHUP, &self->pending_hups);
			break;
		case SIGUSR1:
			pass_on(self, SIGUSR1, &self->pending_usr1s);
			break;
		default: /* SIGPIPE: blocked, so that writes to a log that nobody reads just fail */
			break;
		}
	}
}

/* ---- deadlines ---- */

static void deadline_passed(struct supervisor *self)
{
	switch (self->state) {
	case STARTING:
		if (self->wish == STOP)
			tell_to_stop(self);
		else
			abort_daemon(self, "the daemon is not ready in time");
		break;
	case ENDING:
		kill_daemon(self);
		break;
	case WAITING:
		start(self);
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

static void check_deadlines(struct supervisor *self)
{
	uint64_t now = clock_now();

	if (self->watchdog_deadline && now >= self->watchdog_deadline) {
		/* If we have slept through it ourselves (stopped, frozen with our container), the
		 * daemon may have done so too, and gets its chance. */
		if (now - self->watchdog_deadline > self->watchdog / 2 + SECOND) {
			self->watchdog_deadline = now + self->watchdog;
			log_line("was stopped for a while: the watchdog begins anew");
		} else {
			abort_daemon(self, "the daemon is silent (watchdog)");
		}
	}
	if (self->deadline && now >= self->deadline)
		deadline_passed(self);
}

static int timeout_ms(const struct supervisor *self)
{
	uint64_t now = clock_now();
	uint64_t next = self->deadline;

	if (self->watchdog_deadline && (!next || self->watchdog_deadline < next))
		next = self->watchdog_deadline;
	if (!next)
		return -1;
	if (next <= now)
		return 0;
	next = (next - now + MILLISECOND - 1) / MILLISECOND;
	return next < 3600 * 1000 ? (int)next : 3600 * 1000;
}

/* ---- start and end ---- */

static void hung_up(struct supervisor *self, uint64_t id)
{
	char name[STORE_NAME_MAX + 1];

	if (store_remove_id(&self->store, id, name))
		log_line("%s: a kept descriptor reports an error or a hang-up and is closed "
			 "(FDPOLL=0 would keep it)",
			 name);
}

static void turn(struct supervisor *self)
{
	struct epoll_event events[EVENTS_PER_TURN];
	bool has_signals = false;
	int count = epoll_wait(self->epoll, events, EVENTS_PER_TURN, timeout_ms(self));

	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == KEY_SIGNALS)
			has_signals = true;
		else if (events[i].data.u64 != KEY_NOTIFY)
			hung_up(self, events[i].data.u64);
	}
	/* What the daemon has said counts before what has happened to it, and before what it is
	 * late with. */
	hear_all(self, MESSAGES_PER_TURN);
	if (has_signals)
		handle_signals(self);
	check_deadlines(self);
}

static bool watch(struct supervisor *self, int fd, uint64_t key)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = key};

	return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int open_sockets(struct supervisor *self)
{
	for (unsigned i = 0; i < self->options->listen_count; i++) {
		const struct listen_option *option = &self->options->listen[i];

		self->listeners[i] = sockets_listen(option, &self->listener_files[i]);
		if (self->listeners[i] < 0)
			return EX_CANTCREAT;
	}
	self->notify = sockets_notify(self->options->notify_socket, &self->notify_file,
				      self->notify_address, sizeof(self->notify_address));
	return self->notify < 0 ? EX_CANTCREAT : EX_OK;
}

static int open_rest(struct supervisor *self)
{
	const struct options *options = self->options;
	size_t names = spawn_name_bytes();
	sigset_t signals;

	for (unsigned i = 0; i < options->listen_count; i++)
		names -= strlen(options->listen[i].name) + 1;
	sigemptyset(&signals);
	for (const int *number =
		     (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, 0};
	     *number; number++)
		sigaddset(&signals, *number);
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	self->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (self->epoll < 0 || self->signals < 0 || !watch(self, self->signals, KEY_SIGNALS) ||
	    !watch(self, self->notify, KEY_NOTIFY) ||
	    !store_open(&self->store, options->store_max, names, self->epoll) ||
	    !spawn_open(&self->spawn, options->command, options->store_max + options->listen_count,
			self->notify_address, options->store_max)) {
		log_line("cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	return EX_OK;
}

int supervise(const struct options *options)
{
	/* Large, and there is one. */
	static struct supervisor self;
	int error;

	self.options = options;
	error = open_sockets(&self);
	if (!error)
		error = open_rest(&self);
	if (!error) {
		ready_file_remove(&self);
		start(&self);
		while (self.state != OVER)
			turn(&self);
		error = self.exit_code;
	}
	for (unsigned i = 0; i < options->listen_count; i++)
		sockets_unlink(&self.listener_files[i]);
	sockets_unlink(&self.notify_file);
	return error;
}
