#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "supervise.h"
#include "supervisor.h"

/* How many messages are taken before signals and deadlines get their turn. */
#define MESSAGES_PER_TURN 256
/* More than any queue of a datagram socket holds: what a dead daemon has said is read to the end.
 */
#define MESSAGES_QUEUED 65536
#define EVENTS_PER_TURN 64
/* "session-1234567" and a colon. */
#define USUAL_NAME_BYTES 16

/* What epoll reports: ids of stored descriptors, which count from 1, or one of these. */
#define KEY_NOTIFY UINT64_MAX
#define KEY_SIGNALS (UINT64_MAX - 1)

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
			/* Its last words, to the end. */
			messages_hear(self, MESSAGES_QUEUED);
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
		daemon_signal(self, number);
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
			daemon_stop(self, "SIGTERM");
			break;
		case SIGINT:
			daemon_stop(self, "SIGINT");
			break;
		case SIGQUIT:
			daemon_stop(self, "SIGQUIT");
			break;
		case SIGUSR2:
			daemon_restart(self);
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

static void check_deadlines(struct supervisor *self)
{
	uint64_t now = clock_now();

	/* We look every eighth of the watchdog's time. If we have not come to it for half of that
	 * time (stopped, frozen with our container or our virtual machine), the daemon may have
	 * had as little of it, and gets its chance: however little is left, or is over by. */
	if (self->watchdog_deadline && self->looked_at &&
	    now - self->looked_at > self->watchdog / 2) {
		if (now >= self->watchdog_deadline)
			log_line("was stopped for a while: the watchdog begins anew");
		self->watchdog_deadline = now + self->watchdog;
	}
	if (self->watchdog_deadline && now >= self->watchdog_deadline)
		daemon_abort(self, "the daemon is silent (watchdog)");
	self->looked_at = self->watchdog_deadline ? now : 0;
	if (self->deadline && now >= self->deadline)
		daemon_deadline(self);
}

static int timeout_ms(const struct supervisor *self)
{
	uint64_t now = clock_now();
	uint64_t next = self->deadline;

	if (self->watchdog_deadline) {
		uint64_t look = now + self->watchdog / 8;

		look = look < self->watchdog_deadline ? look : self->watchdog_deadline;
		next = next && next < look ? next : look;
	}
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
	messages_hear(self, MESSAGES_PER_TURN);
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
	unsigned told;
	sigset_t signals;

	for (unsigned i = 0; i < options->listen_count; i++)
		names -= strlen(options->listen[i].name) + 1;
	/* Names of usual length fill LISTEN_FDNAMES before the store is full; a daemon that
	 * believes this number never loses descriptors by it. */
	told = names / USUAL_NAME_BYTES < options->store_max ? (unsigned)(names / USUAL_NAME_BYTES)
							     : options->store_max;
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
			self->notify_address, told)) {
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
		daemon_start(&self);
		while (self.state != OVER)
			turn(&self);
		error = self.exit_code;
	}
	for (unsigned i = 0; i < options->listen_count; i++)
		sockets_unlink(&self.listener_files[i]);
	sockets_unlink(&self.notify_file);
	return error;
}
