#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "spawn.h"

#define PAGES_PER_STRING 32 /* the kernel's MAX_ARG_STRLEN */
#define OWN_VARIABLES 8
#define PID_DIGITS 11

static const char *const replaced[] = {
	"LISTEN_PID=",	  "LISTEN_FDS=",    "LISTEN_FDNAMES=", "LISTEN_PIDFDID=",
	"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=",   "FDSTORE=",
};

static const char names_key[] = "LISTEN_FDNAMES=";

size_t spawn_name_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE) * PAGES_PER_STRING - sizeof(names_key);
}

static bool is_replaced(const char *variable)
{
	for (size_t i = 0; i < sizeof(replaced) / sizeof(*replaced); i++)
		if (strncmp(variable, replaced[i], strlen(replaced[i])) == 0)
			return true;
	return false;
}

bool spawn_open(struct spawn *spawn, char **command, unsigned max_fds, const char *notify_socket,
		unsigned told)
{
	size_t variables = 0;

	*spawn = (struct spawn){.command = command, .max = max_fds};
	while (environ[variables])
		variables++;
	spawn->names_size = spawn_name_bytes() + sizeof(names_key);
	spawn->names = malloc(spawn->names_size);
	spawn->environment = calloc(variables + OWN_VARIABLES + 1, sizeof(char *));
	spawn->fds = calloc(max_fds + 1, sizeof(int));
	spawn->wanted = calloc(max_fds + SPAWN_FIRST_FD + 1, sizeof(int));
	if (!spawn->names || !spawn->environment || !spawn->fds || !spawn->wanted)
		return false;
	for (size_t i = 0; i < variables; i++)
		if (!is_replaced(environ[i]))
			spawn->environment[spawn->inherited++] = environ[i];
	snprintf(spawn->notify_socket, sizeof(spawn->notify_socket), "NOTIFY_SOCKET=%s",
		 notify_socket);
	snprintf(spawn->store_max, sizeof(spawn->store_max), "FDSTORE=%u", told);
	spawn_clear(spawn);
	return true;
}

void spawn_clear(struct spawn *spawn)
{
	spawn->count = 0;
	memcpy(spawn->names, names_key, sizeof(names_key));
	spawn->names_length = sizeof(names_key) - 1;
}

void spawn_add(struct spawn *spawn, int fd, const char *name)
{
	size_t length = strlen(name);

	/* Both limits are kept by whoever accepts descriptors; this only makes them impossible to
	 * miss. */
	if (spawn->count == spawn->max || spawn->names_length + length + 2 > spawn->names_size)
		return;
	spawn->fds[spawn->count] = fd;
	if (spawn->count++)
		spawn->names[spawn->names_length++] = ':';
	memcpy(spawn->names + spawn->names_length, name, length + 1);
	spawn->names_length += length;
}

/* ---- in the child ---- */

static void write_pid(char *to, pid_t pid)
{
	char digits[PID_DIGITS];
	int count = 0;

	do
		digits[count++] = (char)('0' + pid % 10);
	while (pid /= 10);
	while (count)
		*to++ = digits[--count];
	*to = 0;
}

/* Puts fds[i] to 3 + i. Whoever stands on such a place and is still needed moves behind all of them
 * first. */
static bool arrange(struct spawn *spawn)
{
	int behind = SPAWN_FIRST_FD + (int)spawn->count;

	for (int i = 0; i < behind; i++)
		spawn->wanted[i] = -1;
	for (unsigned i = 0; i < spawn->count; i++)
		if (spawn->fds[i] < behind)
			spawn->wanted[spawn->fds[i]] = (int)i;
	for (unsigned i = 0; i < spawn->count; i++) {
		int target = SPAWN_FIRST_FD + (int)i;
		int other = spawn->wanted[target];
		int fd = spawn->fds[i];

		if (fd == target) {
			if (fcntl(fd, F_SETFD, 0) != 0)
				return false;
			continue;
		}
		if (other > (int)i) {
			spawn->fds[other] = fcntl(target, F_DUPFD_CLOEXEC, behind);
			if (spawn->fds[other] < 0)
				return false;
		}
		if (dup2(fd, target) < 0)
			return false;
		/* Behind the targets numbers are scarce. */
		if (fd >= behind)
			close(fd);
		else
			spawn->wanted[fd] = -1;
	}
	return true;
}

static void reset_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(struct spawn *spawn, char *listen_pid, char *watchdog_pid, int report)
{
	int error;

	/* A terminal's signals reach the daemon through us only: it must not get them twice. */
	setsid();
	write_pid(listen_pid, getpid());
	write_pid(watchdog_pid, getpid());
	report = fcntl(report, F_DUPFD_CLOEXEC, SPAWN_FIRST_FD + (int)spawn->count);
	if (report >= 0 && arrange(spawn)) {
		reset_signals();
		execvpe(spawn->command[0], spawn->command, spawn->environment);
	}
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- in the parent ---- */

pid_t spawn_run(struct spawn *spawn, uint64_t watchdog, int *report)
{
	char listen_pid[32] = "LISTEN_PID=", watchdog_pid[32] = "WATCHDOG_PID=", listen_fds[32];
	char **variable = spawn->environment + spawn->inherited;
	int pipe_ends[2];
	int error;
	pid_t pid;

	*variable++ = spawn->notify_socket;
	*variable++ = spawn->store_max;
	if (spawn->count) {
		snprintf(listen_fds, sizeof(listen_fds), "LISTEN_FDS=%u", spawn->count);
		*variable++ = listen_pid;
		*variable++ = listen_fds;
		*variable++ = spawn->names;
	}
	if (watchdog) {
		snprintf(spawn->watchdog, sizeof(spawn->watchdog), "WATCHDOG_USEC=%llu",
			 (unsigned long long)watchdog);
		*variable++ = spawn->watchdog;
		*variable++ = watchdog_pid;
	}
	*variable = NULL;
	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become(spawn, listen_pid + strlen(listen_pid), watchdog_pid + strlen(watchdog_pid),
		       pipe_ends[1]);
	error = errno;
	close(pipe_ends[1]);
	if (pid < 0)
		close(pipe_ends[0]);
	else
		*report = pipe_ends[0];
	errno = error;
	return pid;
}
