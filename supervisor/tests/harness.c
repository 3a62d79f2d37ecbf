#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"
#include "wire.h"

#define MAX_OPTIONS 32

static void listen_for_daemons(struct run *run)
{
	static unsigned number;
	struct sockaddr_un address;
	socklen_t length;

	snprintf(run->address, sizeof(run->address), "@supervise-test/%d/%u", getpid(), number++);
	length = fill_address(&address, run->address);
	run->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (bind(run->listener, (struct sockaddr *)&address, length) != 0 ||
	    listen(run->listener, 16) != 0)
		perror("listen");
}

bool start(struct run *run, ...)
{
	char program[4096];
	char *arguments[MAX_OPTIONS + 4];
	int count = 0, log_ends[2];
	va_list options;

	snprintf(program, sizeof(program), "%s/uffd-supervise", build_dir);
	arguments[count++] = program;
	va_start(options, run);
	while ((arguments[count] = va_arg(options, char *)))
		count++;
	va_end(options);
	listen_for_daemons(run);
	arguments[count++] = "--";
	arguments[count++] = (char *)run->program;
	arguments[count++] = run->address;
	arguments[count] = NULL;
	if (pipe2(log_ends, O_CLOEXEC) != 0)
		return false;
	run->log_pipe = log_ends[0];
	run->supervisor =
		(pid_t)syscall(SYS_clone, run->clone_flags | SIGCHLD, NULL, NULL, NULL, 0);
	if (run->supervisor == 0) {
		dup2(log_ends[1], STDOUT_FILENO);
		dup2(log_ends[1], STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (run->prepare)
			run->prepare();
		execv(program, arguments);
		_exit(96);
	}
	close(log_ends[1]);
	return run->supervisor > 0;
}

/* ---- the log ---- */

static void read_log(struct run *run, int ms)
{
	char part[4096];
	ssize_t length;

	if (run->log_pipe < 0 || run->is_log_unread || !is_readable(run->log_pipe, ms))
		return;
	length = read(run->log_pipe, part, sizeof(part));
	if (length <= 0) {
		close(run->log_pipe);
		run->log_pipe = -1;
		return;
	}
	run->log = realloc(run->log, run->log_length + (size_t)length + 1);
	memcpy(run->log + run->log_length, part, (size_t)length);
	run->log_length += (size_t)length;
	run->log[run->log_length] = 0;
}

bool is_in_log(struct run *run, const char *text)
{
	char *found;

	while (run->log_pipe >= 0 && !run->is_log_unread && is_readable(run->log_pipe, 0))
		read_log(run, 0);
	found = run->log ? strstr(run->log + run->log_seen, text) : NULL;
	if (found)
		run->log_seen = (size_t)(found - run->log) + strlen(text);
	return found;
}

bool await_log(struct run *run, const char *text)
{
	double end = now() + PATIENCE_MS / 1e3;

	while (!is_in_log(run, text)) {
		if (now() > end || run->log_pipe < 0) {
			fprintf(stderr, "    the log does not say: %s\n", text);
			return false;
		}
		read_log(run, 100);
	}
	return true;
}

/* ---- the daemon ---- */

/* Length, or -1. One descriptor may come with it. */
static ssize_t receive(struct run *run, char *text, size_t size, int *fd, int ms)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space;
	struct iovec part = {text, size - 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &space,
				.msg_controllen = sizeof(space)};
	double end = now() + ms / 1e3;
	ssize_t length;

	/* The log is read meanwhile, so that the supervisor does not wait for us. */
	while (!is_readable(run->control, 20)) {
		read_log(run, 0);
		if (now() > end)
			return -1;
	}
	length = recvmsg(run->control, &header, MSG_CMSG_CLOEXEC);
	text[length > 0 ? length : 0] = 0;
	if (fd && CMSG_FIRSTHDR(&header))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
	return length;
}

static void read_report(struct run *run, int fd)
{
	struct stat status = {0};
	char *line;

	fstat(fd, &status);
	free(run->report);
	run->report = calloc(1, (size_t)status.st_size + 1);
	if (pread(fd, run->report, (size_t)status.st_size, 0) != status.st_size)
		perror("report");
	close(fd);
	line = strstr(run->report, "NOTIFY_SOCKET=");
	if (line)
		sscanf(line, "NOTIFY_SOCKET=%127s", run->notify_socket);
}

bool await_daemon(struct run *run)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	double end = now() + PATIENCE_MS / 1e3;
	char text[64];
	int fd = -1;

	while (!is_readable(run->listener, 20)) {
		read_log(run, 0);
		if (now() > end) {
			fprintf(stderr, "    no daemon comes\n");
			return false;
		}
	}
	/* Not before the next one is there: the end of this socket is the end of a fake daemon. */
	if (run->control >= 0)
		close(run->control);
	run->control = accept4(run->listener, NULL, NULL, SOCK_CLOEXEC);
	if (receive(run, text, sizeof(text), &fd, PATIENCE_MS) <= 0 || strcmp(text, "hello") != 0 ||
	    fd < 0)
		return false;
	getsockopt(run->control, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
	run->daemon = credentials.pid;
	read_report(run, fd);
	return await_answer(run, "listening");
}

bool no_daemon_comes(struct run *run, int ms)
{
	return !is_readable(run->listener, ms);
}

bool await_ready(struct run *run)
{
	return await_daemon(run) && say(run, "READY=1");
}

bool await_answer(struct run *run, const char *expected)
{
	char text[256] = "";

	if (receive(run, text, sizeof(text), NULL, PATIENCE_MS) > 0 && strcmp(text, expected) == 0)
		return true;
	if (*expected)
		fprintf(stderr, "    the daemon says '%s', not '%s'\n", text, expected);
	return false;
}

bool no_answer_comes(struct run *run, int ms)
{
	return !is_readable(run->control, ms);
}

bool tell_fds(struct run *run, const char *command, size_t length, const int *fds, size_t count,
	      const char *expected)
{
	return send_fds(run->control, command, length, fds, count) && await_answer(run, expected);
}

bool tell(struct run *run, const char *command, const char *expected)
{
	return tell_fds(run, command, strlen(command), NULL, 0, expected);
}

bool order(struct run *run, const char *command)
{
	return send_fds(run->control, command, strlen(command), NULL, 0);
}

bool say_fds(struct run *run, const char *text, const int *fds, size_t count)
{
	char command[5000];
	int length = snprintf(command, sizeof(command), "say %s", text);

	return tell_fds(run, command, (size_t)length, fds, count, "said") &&
	       tell(run, "barrier", "passed");
}

bool say(struct run *run, const char *text)
{
	return say_fds(run, text, NULL, 0);
}

bool store(struct run *run, const char *name, int fd)
{
	char text[400];
	bool is_said;

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	is_said = say_fds(run, text, &fd, 1);
	close(fd);
	return is_said;
}

bool reported(const struct run *run, const char *format, ...)
{
	char line[512] = "\n";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + 1, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	return strstr(run->report, line);
}

int reported_fds(const struct run *run)
{
	int count = 0;

	for (const char *line = run->report; (line = strstr(line, "\nfd ")); line++)
		count++;
	return count;
}

bool say_as_stranger(struct run *run, const char *text, const int *fds, size_t count)
{
	struct sockaddr_un address;
	socklen_t length = fill_address(&address, run->notify_socket);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_sent = connect(fd, (struct sockaddr *)&address, length) == 0 &&
		       send_fds(fd, text, strlen(text), fds, count);

	close(fd);
	return is_sent;
}

/* ---- ends ---- */

int await_end(struct run *run)
{
	double end = now() + PATIENCE_MS / 1e3;
	int status;

	while (waitpid(run->supervisor, &status, WNOHANG) == 0) {
		if (now() > end)
			return -1;
		if (run->log_pipe >= 0 && !run->is_log_unread)
			read_log(run, 20);
		else
			pause_ms(20);
	}
	run->supervisor = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void clean_up(struct run *run)
{
	if (run->supervisor > 0) {
		kill(run->supervisor, SIGKILL);
		waitpid(run->supervisor, NULL, 0);
	}
	/* The fake daemon ends with its control socket. */
	if (run->control >= 0)
		close(run->control);
	if (run->listener >= 0)
		close(run->listener);
	if (run->log_pipe >= 0)
		close(run->log_pipe);
	free(run->report);
	free(run->log);
}
