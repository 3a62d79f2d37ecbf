/*
 * usage: fake_daemon ADDRESS
 * A daemon that does what it is told. It connects to the test (abstract SOCK_SEQPACKET socket),
 * reports what it has been started with, and then takes commands and reports signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "wire.h"

#define MAX_COMMAND 70000

static int control;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(99);
}

static int connect_to(const char *path, int type)
{
	struct sockaddr_un address;
	socklen_t length = fill_address(&address, path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) != 0)
		die(path);
	return fd;
}

static void send_with_fds(int socket, const char *text, size_t length, const int *fds, size_t count)
{
	if (!send_fds(socket, text, length, fds, count))
		die("sendmsg");
}

static void notify(const char *text, size_t length, const int *fds, size_t count)
{
	const char *address = getenv("NOTIFY_SOCKET");
	int socket = connect_to(address ? address : "", SOCK_DGRAM);

	send_with_fds(socket, text, length, fds, count);
	close(socket);
}

/* One line per passed descriptor: its name, what it is, and how it begins if it is a memfd. */
static void report_fds(FILE *report, int count)
{
	char *names = strdup(getenv("LISTEN_FDNAMES") ? getenv("LISTEN_FDNAMES") : "");

	for (int i = 0; i < count; i++) {
		char path[32], target[64] = "", content[64] = "";
		const char *name = strsep(&names, ":");

		snprintf(path, sizeof(path), "/proc/self/fd/%d", 3 + i);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			die(path);
		if (strncmp(target, "/memfd:", 7) == 0 &&
		    pread(3 + i, content, sizeof(content) - 1, 0) < 0)
			die("pread");
		fprintf(report, "fd %s %s %s\n", name ? name : "?", *content ? content : "-",
			target);
	}
	if (names && *names)
		fprintf(report, "more names than descriptors\n");
}

static void report_signals(FILE *report)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
			fputs(line, report);
	if (status)
		fclose(status);
}

static void say_hello(int before)
{
	static const char *const told[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS",
					   "FDSTORE"};
	int count = getenv("LISTEN_FDS") ? atoi(getenv("LISTEN_FDS")) : 0;
	int fd = memfd_create("report", MFD_CLOEXEC);
	FILE *report = fdopen(dup(fd), "w");

	fprintf(report, "pid %d\n", getpid());
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		if (getenv(told[i]))
			fprintf(report, "%s=%s\n", told[i], getenv(told[i]));
	if (getenv("LISTEN_PID"))
		fprintf(report, "listen pid %s\n",
			atoi(getenv("LISTEN_PID")) == getpid() ? "right" : "wrong");
	if (getenv("WATCHDOG_PID"))
		fprintf(report, "watchdog pid %s\n",
			atoi(getenv("WATCHDOG_PID")) == getpid() ? "right" : "wrong");
	fprintf(report, "strange descriptors: %d\n", before - 3 - count);
	fprintf(report, "session leader: %s\n", getsid(0) == getpid() ? "yes" : "no");
	report_signals(report);
	report_fds(report, count);
	fclose(report);
	send_with_fds(control, "hello", 5, &fd, 1);
	close(fd);
}

static int count_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 20000; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void answer(const char *text)
{
	send_with_fds(control, text, strlen(text), NULL, 0);
}

static void pass_barrier(void)
{
	struct pollfd end;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		die("pipe");
	notify("BARRIER=1", 9, &ends[1], 1);
	close(ends[1]);
	end = (struct pollfd){.fd = ends[0]};
	answer(poll(&end, 1, 10000) == 1 && end.revents & POLLHUP ? "passed" : "not passed");
	close(ends[0]);
}

/* A process whose parent ends: who reaps adopts it. It tells its parent, and ends when the test
 * says so. */
static void make_orphan(void)
{
	pid_t child = fork();

	if (child == 0) {
		pid_t pid = getpid();

		if (fork() != 0)
			_exit(0);
		while (getppid() == pid) {
			struct pollfd nothing;

			poll(&nothing, 0, 5);
		}
		char text[64];

		snprintf(text, sizeof(text), "orphan of %d", getppid());
		answer(text);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void say_by_child(const char *text, size_t length, const int *fds, size_t count)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		char buffer[8];
		int ends[2];

		if (pipe(ends) != 0)
			_exit(1);
		notify(text, length, fds, count);
		/* It must still be there when the message is read, to be told from a stranger. */
		notify("BARRIER=1", 9, &ends[1], 1);
		close(ends[1]);
		_exit(read(ends[0], buffer, sizeof(buffer)) == 0 ? 0 : 1);
	}
	waitpid(child, &status, 0);
	answer(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "said" : "not said");
}

static void obey(char *command, size_t length, const int *fds, size_t count)
{
	if (strncmp(command, "say ", 4) == 0) {
		notify(command + 4, length - 4, fds, count);
		answer("said");
	} else if (strncmp(command, "last words ", 11) == 0) {
		notify(command + 11, length - 11, fds, count);
		raise(SIGKILL);
	} else if (strncmp(command, "child says ", 11) == 0) {
		say_by_child(command + 11, length - 11, fds, count);
	} else if (strcmp(command, "barrier") == 0) {
		pass_barrier();
	} else if (strcmp(command, "orphan") == 0) {
		make_orphan();
	} else if (strcmp(command, "ignore abort") == 0) {
		signal(SIGABRT, SIG_IGN);
		answer("ignored");
	} else if (strncmp(command, "exit ", 5) == 0) {
		_exit(atoi(command + 5));
	} else {
		answer("what?");
	}
}

static void take_command(void)
{
	static char command[MAX_COMMAND + 1];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} space;
	struct iovec part = {command, MAX_COMMAND};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = sizeof(space)};
	ssize_t length = recvmsg(control, &header, MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	int fds[MAX_FDS];
	size_t count = 0;

	if (length <= 0)
		exit(98);
	if (rights) {
		count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(rights), count * sizeof(int));
	}
	command[length] = 0;
	obey(command, (size_t)length, fds, count);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

int main(int count, char **arguments)
{
	int before = count_open();
	struct pollfd both[2];
	sigset_t signals;

	if (count != 2)
		return 64;
	/* Whatever becomes of the supervisor, no fake daemon outlives its test: the control
	 * socket's end ends it. */
	control = connect_to(arguments[1], SOCK_SEQPACKET);
	say_hello(before);
	sigemptyset(&signals);
	for (const int *number =
		     (const int[]){SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, 0};
	     *number; number++)
		sigaddset(&signals, *number);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	both[0] = (struct pollfd){.fd = control, .events = POLLIN};
	both[1] = (struct pollfd){.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN};
	answer("listening");
	for (;;) {
		if (poll(both, 2, -1) < 0)
			continue;
		if (both[1].revents) {
			struct signalfd_siginfo info;
			char text[32];

			if (read(both[1].fd, &info, sizeof(info)) != sizeof(info))
				die("signalfd");
			snprintf(text, sizeof(text), "SIG%s", sigabbrev_np((int)info.ssi_signo));
			answer(text);
		} else if (both[0].revents) {
			take_command();
		}
	}
}
