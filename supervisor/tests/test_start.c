/* The command line, sockets, and what a daemon is started with. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"

/* Two signals belong to the C library, which lets nobody touch them. */
static bool reported_no_signals(const struct run *run, const char *set)
{
	const char *line = strstr(run->report, set);

	return line && (strtoull(line + strlen(set), NULL, 16) & ~0x180000000ULL) == 0;
}

static enum result start_clean(struct run *run)
{
	CHECK(start(run, NULL) && await_daemon(run));
	CHECK(strncmp(run->notify_socket, "@uffd-supervise/", 16) == 0 &&
	      strlen(run->notify_socket) == 16 + 32);
	CHECK(reported(run, "strange descriptors: 0") && reported(run, "session leader: yes"));
	CHECK(reported_no_signals(run, "SigBlk:") && reported_no_signals(run, "SigIgn:"));
	CHECK(!reported(run, "more names"));
	CHECK(!reported(run, "LISTEN_FDS") && !reported(run, "listen pid"));
	CHECK(!reported(run, "WATCHDOG_USEC") && reported(run, "FDSTORE="));
	return PASSED;
}

/* As a shell does to its background jobs, and a careless parent to its children. */
static void spoil(void)
{
	sigset_t all;

	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	close(STDIN_FILENO);
	dup2(STDERR_FILENO, 3);
	dup2(STDERR_FILENO, 77);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_PID", "1", 1);
	setenv("WATCHDOG_USEC", "1", 1);
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
}

static enum result start_clean_under_a_careless_parent(struct run *run)
{
	run->prepare = spoil;
	CHECK(start_clean(run) == PASSED);
	CHECK(say(run, "READY=1"));
	kill(run->supervisor, SIGINT);
	CHECK(await_answer(run, "SIGINT") && order(run, "exit 0") && await_end(run) == 0);
	return PASSED;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static enum result pass_sockets(struct run *run)
{
	char path[64], option[200];
	gid_t group = geteuid() == 0 ? 12 : getegid();
	struct stat status, later;
	int client;

	snprintf(path, sizeof(path), "%s/made/for/it.sock", work_dir);
	snprintf(option, sizeof(option), "--listen=native:seqpacket:%s:0640:%u", path, group);
	CHECK(start(run, option, "--listen=control:stream:@uffd-supervise-test", NULL));
	CHECK(await_ready(run) && reported_fds(run) == 2);
	CHECK(strstr(run->report, "fd native - socket:") <
	      strstr(run->report, "fd control - socket:"));
	CHECK(stat(path, &status) == 0 && status.st_gid == group);
	CHECK((status.st_mode & 07777) == 0640 && S_ISSOCK(status.st_mode));
	CHECK(store(run, "kept", make_memfd("kept")));
	kill(run->daemon, SIGKILL);
	CHECK(await_ready(run) && reported_fds(run) == 3 && reported(run, "fd kept kept"));
	/* Behind the sockets. */
	CHECK(strstr(run->report, "fd control") < strstr(run->report, "fd kept"));
	CHECK(stat(path, &later) == 0 && later.st_ino == status.st_ino);
	client = connect_to(path);
	CHECK(client >= 0);
	close(client);
	kill(run->supervisor, SIGTERM);
	CHECK(await_answer(run, "SIGINT") && order(run, "exit 0") && await_end(run) == 0);
	CHECK(access(path, F_OK) != 0);
	return PASSED;
}

static enum result replace_stale_sockets(struct run *run)
{
	struct run second = *run, third = *run;
	char path[64], option[200];

	snprintf(path, sizeof(path), "%s/stale.sock", work_dir);
	snprintf(option, sizeof(option), "--listen=native:seqpacket:%s", path);
	CHECK(start(run, option, NULL) && await_ready(run));
	CHECK(start(&second, option, NULL) && await_end(&second) == 73);
	CHECK(is_in_log(&second, "is in use by another process"));
	CHECK(connect_to(path) >= 0);
	/* Nobody takes the socket away after this. */
	kill(run->supervisor, SIGKILL);
	CHECK(await_end(run) == 128 + SIGKILL);
	kill(run->daemon, SIGKILL);
	CHECK(await_end_of(run->daemon) && access(path, F_OK) == 0 && connect_to(path) < 0);
	CHECK(start(&third, option, NULL) && await_ready(&third) && connect_to(path) >= 0);
	clean_up(&third);
	clean_up(&second);
	return PASSED;
}

static enum result use_a_named_notify_socket(struct run *run)
{
	char path[64], option[100];

	snprintf(path, sizeof(path), "%s/notify.sock", work_dir);
	snprintf(option, sizeof(option), "--notify-socket=%s", path);
	CHECK(start(run, option, NULL) && await_ready(run));
	CHECK(strcmp(run->notify_socket, path) == 0 && await_log(run, "is ready"));
	kill(run->supervisor, SIGTERM);
	CHECK(await_answer(run, "SIGINT") && order(run, "exit 0") && await_end(run) == 0);
	CHECK(access(path, F_OK) != 0);
	return PASSED;
}

static enum result mark_readiness(struct run *run)
{
	char path[64], option[100], text[32] = "", expected[32];
	int fd;

	snprintf(path, sizeof(path), "%s/ready", work_dir);
	snprintf(option, sizeof(option), "--ready-file=%s", path);
	CHECK(start(run, option, NULL) && await_daemon(run) && access(path, F_OK) != 0);
	CHECK(say(run, "READY=1\nSTATUS=all is well") && await_log(run, "is ready"));
	CHECK(await_log(run, "all is well"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	snprintf(expected, sizeof(expected), "%d\n", run->daemon);
	CHECK(strcmp(text, expected) == 0);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && access(path, F_OK) != 0);
	CHECK(say(run, "READY=1") && access(path, F_OK) == 0);
	CHECK(say(run, "RELOADING=1") && access(path, F_OK) == 0 && say(run, "READY=1"));
	CHECK(await_log(run, "has reloaded"));
	CHECK(say(run, "STOPPING=1") && access(path, F_OK) != 0);
	return PASSED;
}

static enum result refuse_wrong_usage(struct run *run)
{
	static const char *const wrong[] = {
		"--nonsense",
		"--store-max=many",
		"--store-max=-1",
		"--watchdog=never",
		"--watchdog=nan",
		"--stop-timeout=-1",
		"--no-restart-on=256",
		"--on-give-up=pray",
		"--notify-socket=relative",
		"--listen=name",
		"--listen=name:stream",
		"--listen=name:stream:relative",
		"--listen=name:dgram:/path",
		"--listen=:stream:/path",
		"--listen=name:stream:/path:0999",
		"--listen=name:stream:/path:0600:no such group",
		"--listen=name:stream:/path:0600:0:more",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct run other = *run;
		bool is_right = start(&other, wrong[i], NULL) && await_end(&other) == 64 &&
				is_in_log(&other, "uffd-supervise");

		if (!is_right)
			fprintf(stderr, "    accepted: %s\n", wrong[i]);
		clean_up(&other);
		CHECK(is_right);
	}
	return PASSED;
}

static enum result print_help(struct run *run)
{
	struct run other = *run;

	CHECK(start(run, "--help", NULL) && await_end(run) == 0);
	CHECK(is_in_log(run, "Usage: uffd-supervise") && is_in_log(run, "--on-give-up=HOW"));
	CHECK(start(&other, "--version", NULL) && await_end(&other) == 0);
	CHECK(is_in_log(&other, "uffd-supervise 0."));
	clean_up(&other);
	return PASSED;
}

static enum result fail_without_program(struct run *run)
{
	run->program = "/no/such/program";
	CHECK(start(run, NULL) && await_end(run) == 69);
	CHECK(is_in_log(run, "cannot run /no/such/program: No such file or directory"));
	return PASSED;
}

static enum result wait_for_a_program_that_is_replaced(struct run *run)
{
	char path[64], aside[80], original[4096];

	snprintf(original, sizeof(original), "%s", run->program);
	snprintf(path, sizeof(path), "%s/daemon", work_dir);
	snprintf(aside, sizeof(aside), "%s.aside", path);
	CHECK(symlink(original, path) == 0);
	run->program = path;
	CHECK(start(run, "--backoff-max=0.1", NULL) && await_ready(run));
	CHECK(store(run, "kept", make_memfd("kept")) && rename(path, aside) == 0);
	kill(run->daemon, SIGKILL);
	CHECK(await_log(run, "cannot run") && await_log(run, "cannot run"));
	CHECK(rename(aside, path) == 0);
	CHECK(await_ready(run) && reported(run, "fd kept kept"));
	return PASSED;
}

static enum result fail_when_nothing_can_be_bound(struct run *run)
{
	char option[400];

	memset(option, 'x', sizeof(option));
	memcpy(option, "--listen=native:stream:/tmp/", 28);
	option[sizeof(option) - 1] = 0;
	CHECK(start(run, option, NULL) && await_end(run) == 73);
	CHECK(is_in_log(run, "too long for a socket"));
	return PASSED;
}

const struct test start_tests[] = {
	{"a daemon starts with clean signals and descriptors", start_clean},
	{"a daemon starts clean although the supervisor's parent is careless",
	 start_clean_under_a_careless_parent},
	{"sockets are bound, passed by name before what is kept, and removed at the end",
	 pass_sockets},
	{"a socket that a killed supervisor has left is replaced, one in use is not",
	 replace_stale_sockets},
	{"the notify socket can have a path", use_a_named_notify_socket},
	{"the ready file is there while the daemon is ready", mark_readiness},
	{"wrong usage is refused with 64", refuse_wrong_usage},
	{"help and version are printed", print_help},
	{"a program that does not exist is reported with 69", fail_without_program},
	{"a program that is missing for a moment is waited for, and nothing is lost",
	 wait_for_a_program_that_is_replaced},
	{"a socket that cannot be bound is reported with 73", fail_when_nothing_can_be_bound},
	{NULL, NULL},
};
