/* Who is believed, and what happens to messages that make no sense. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "harness.h"
#include "wire.h"

static enum result ignore_strangers(struct run *run)
{
	int ends[2], before;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(start(run, NULL) && await_daemon(run));
	CHECK(store(run, "mine", make_memfd("mine")));
	before = open_fds_of(run->supervisor);
	CHECK(say_as_stranger(run, "READY=1", NULL, 0));
	CHECK(await_log(run, "which is not the daemon's"));
	CHECK(say_as_stranger(run, "FDSTOREREMOVE=1\nFDNAME=mine", NULL, 0));
	CHECK(say_as_stranger(run, "FDSTORE=1\nFDNAME=theirs", &ends[1], 1));
	CHECK(say_as_stranger(run, "WATCHDOG=trigger", NULL, 0));
	CHECK(say_as_stranger(run, "STOPPING=1", NULL, 0));
	close(ends[1]);
	CHECK(await_hangup(ends[0]) && await_open_fds(run->supervisor, before));
	CHECK(!is_in_log(run, "is ready"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 1 && reported(run, "fd mine mine"));
	return PASSED;
}

static enum result outlast_a_flood(struct run *run)
{
	int fds[200];

	CHECK(start(run, NULL) && await_ready(run));
	for (int i = 0; i < 200; i++)
		fds[i] = make_memfd("x");
	for (int i = 0; i < 2000; i++)
		CHECK(say_as_stranger(run, "FDSTORE=1", fds, i % 10 ? 1 : 200));
	for (int i = 0; i < 200; i++)
		close(fds[i]);
	CHECK(store(run, "mine", make_memfd("mine")));
	/* Ten lines in ten seconds; the daemon's own lines do not count. */
	CHECK(is_in_log(run, "which is not the daemon's") && run->log_length < 5000);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 1);
	return PASSED;
}

static enum result believe_descendants(struct run *run)
{
	char text[] = "child says FDSTORE=1\nFDPOLL=0\nFDNAME=by-child";
	int fd = make_memfd("child");

	CHECK(start(run, NULL) && await_daemon(run));
	CHECK(tell(run, "child says READY=1", "said") && await_log(run, "is ready"));
	CHECK(tell_fds(run, text, strlen(text), &fd, 1, "said"));
	close(fd);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported(run, "fd by-child child"));
	return PASSED;
}

/* A datagram of the daemon, of any bytes; the descriptor that comes with it must be closed. */
static bool say_badly(struct run *run, const char *text, size_t length, const char *complaint)
{
	char *command = malloc(length + 4);
	int ends[2];
	bool is_right;

	if (!command || pipe2(ends, O_CLOEXEC) != 0)
		return false;
	memcpy(command, "say ", 4);
	memcpy(command + 4, text, length);
	is_right = tell_fds(run, command, length + 4, &ends[1], 1, "said");
	close(ends[1]);
	is_right = is_right && await_hangup(ends[0]) && await_log(run, complaint);
	close(ends[0]);
	free(command);
	return is_right;
}

static enum result refuse_garbage(struct run *run)
{
	static char giant[60000];
	static const char with_nul[] = "FDSTORE=1\0\nFDNAME=x";
	int before;

	CHECK(start(run, NULL) && await_daemon(run));
	CHECK(store(run, "mine", make_memfd("mine")));
	before = open_fds_of(run->supervisor);
	memset(giant, 'x', sizeof(giant));
	memcpy(giant, "FDSTORE=1\nREADY=1\n", 18);
	CHECK(say_badly(run, giant, sizeof(giant), "longer than 4096 bytes"));
	CHECK(say_badly(run, giant, 4097, "longer than 4096 bytes"));
	CHECK(say_badly(run, with_nul, sizeof(with_nul) - 1, "contains a NUL byte"));
	CHECK(say_badly(run, "\0", 1, "it is empty"));
	CHECK(say_badly(run, "STATUS=no", 9, "came without FDSTORE=1"));
	CHECK(say_badly(run, "\xff\xfe\n=\n==\n\n", 9, "came without FDSTORE=1"));
	CHECK(tell(run, "barrier", "passed") && open_fds_of(run->supervisor) == before);
	CHECK(!is_in_log(run, "is ready"));
	/* One NUL at the end is a habit of some. */
	CHECK(tell_fds(run, "say READY=1\0", 12, NULL, 0, "said") && await_log(run, "is ready"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 1);
	return PASSED;
}

static enum result refuse_wrong_names(struct run *run)
{
	char text[400] = "FDSTORE=1\nFDPOLL=0\nFDNAME=";
	int fd = make_memfd("x");

	CHECK(start(run, NULL) && await_ready(run));
	/* A colon would shift the names of all that follow. */
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=a:b", &fd, 1));
	CHECK(await_log(run, "in a way that is not allowed"));
	close(fd);
	memset(text + strlen(text), 'n', 256);
	fd = make_memfd("y");
	CHECK(say_fds(run, text, &fd, 1));
	close(fd);
	fd = make_memfd("z");
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0", &fd, 1));
	close(fd);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 3);
	CHECK(reported(run, "fd stored x") && reported(run, "fd stored y") &&
	      reported(run, "fd stored z"));
	return PASSED;
}

static enum result take_full_messages(struct run *run)
{
	int fds[MAX_FDS];

	CHECK(start(run, NULL) && await_ready(run));
	for (int i = 0; i < MAX_FDS; i++)
		fds[i] = make_memfd("x");
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=many", fds, MAX_FDS));
	for (int i = 0; i < MAX_FDS; i++)
		close(fds[i]);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == MAX_FDS);
	return PASSED;
}

static enum result leak_nothing(struct run *run)
{
	char name[32];
	int before;

	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	before = open_fds_of(run->supervisor);
	for (int i = 0; i < 300; i++) {
		char text[80];

		snprintf(name, sizeof(name), "session-%d", i);
		CHECK(store(run, name, make_memfd(name)));
		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
		CHECK(say(run, text));
		if (i % 30 == 0) {
			kill(run->daemon, SIGKILL);
			CHECK(await_ready(run) && reported_fds(run) == 0);
		}
	}
	CHECK(open_fds_of(run->supervisor) == before);
	return PASSED;
}

static enum result report_errors(struct run *run)
{
	CHECK(start(run, "--verbose", NULL) && await_ready(run));
	CHECK(say(run, "ERRNO=2") && await_log(run, "reports an error: No such file"));
	CHECK(say(run, "STATUS=red\x1b[31m line") && await_log(run, "red?[31m line"));
	CHECK(say(run, "ERRNO=-1\nERRNO=\nERRNO=99999999999999999999"));
	CHECK(say(run, "STATUS=still here") && await_log(run, "still here"));
	return PASSED;
}

const struct test message_tests[] = {
	{"messages of strangers are ignored and their descriptors closed", ignore_strangers},
	{"a flood of strangers' messages neither stops nor hides anything", outlast_a_flood},
	{"messages of the daemon's children are believed", believe_descendants},
	{"garbage is refused and its descriptors closed", refuse_garbage},
	{"descriptors without a proper name are kept as stored", refuse_wrong_names},
	{"as many descriptors as a message can carry are taken", take_full_messages},
	{"storing, removing and restarting leaks no descriptor", leak_nothing},
	{"errors and status texts are logged, made harmless", report_errors},
	{NULL, NULL},
};
