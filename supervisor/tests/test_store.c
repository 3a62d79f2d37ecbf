/* What is kept, under which name, how much of it, and that it comes back in working order. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "harness.h"

static enum result come_back(struct run *run)
{
	int event = eventfd(0, EFD_CLOEXEC), pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(start(run, NULL) && await_ready(run));
	CHECK(store(run, "session-1", make_memfd("one")));
	CHECK(store(run, "session-1", make_memfd("another")));
	CHECK(store(run, "image-7", make_memfd("picture")));
	CHECK(store(run, "event", event) && store(run, "line", pair[1]));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run));
	CHECK(reported(run, "LISTEN_FDS=5") && reported(run, "listen pid right"));
	CHECK(reported_fds(run) == 5 && reported(run, "strange descriptors: 0"));
	CHECK(reported(run, "fd session-1 one") && reported(run, "fd session-1 another"));
	CHECK(reported(run, "fd image-7 picture"));
	CHECK(reported(run, "fd event - anon_inode:[eventfd]") &&
	      reported(run, "fd line - socket:"));
	/* In the order in which they came. */
	CHECK(strstr(run->report, "session-1 one") < strstr(run->report, "session-1 another"));
	CHECK(strstr(run->report, "session-1 another") < strstr(run->report, "image-7"));
	close(pair[0]);
	return PASSED;
}

static enum result keep_thousands(struct run *run)
{
	enum { COUNT = 2000, BATCH = 100 };
	int fds[BATCH];
	char text[64];

	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	for (int i = 0; i < COUNT; i += BATCH) {
		for (int j = 0; j < BATCH; j++) {
			snprintf(text, sizeof(text), "<%d>", i + j);
			fds[j] = make_memfd(text);
		}
		snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=batch-%d", i / BATCH);
		CHECK(say_fds(run, text, fds, BATCH));
		for (int j = 0; j < BATCH; j++)
			close(fds[j]);
	}
	for (int kills = 0; kills < 5; kills++) {
		kill(run->daemon, SIGKILL);
		CHECK(await_daemon(run));
		CHECK(reported_fds(run) == COUNT && reported(run, "strange descriptors: 0"));
		for (int i = 0; i < COUNT; i++)
			CHECK(reported(run, "fd batch-%d <%d> ", i / BATCH, i));
	}
	return PASSED;
}

static enum result remove_by_name(struct run *run)
{
	int pipes[3][2];

	CHECK(start(run, NULL) && await_ready(run));
	for (int i = 0; i < 3; i++) {
		CHECK(pipe2(pipes[i], O_CLOEXEC) == 0);
		CHECK(store(run, i == 1 ? "stays" : "goes", pipes[i][1]));
	}
	CHECK(say(run, "FDSTOREREMOVE=1\nFDNAME=goes"));
	CHECK(await_hangup(pipes[0][0]) && await_hangup(pipes[2][0]) && !is_hung_up(pipes[1][0]));
	CHECK(say(run, "FDSTOREREMOVE=1\nFDNAME=unknown") && say(run, "FDSTOREREMOVE=1"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 1 && reported(run, "fd stays"));
	return PASSED;
}

/* Later descriptors get the numbers of removed ones, so that places and numbers are in different
 * orders. */
static enum result shuffle(struct run *run)
{
	enum { NAMES = 40, ROUNDS = 12 };
	char name[32], text[64];
	int content[NAMES];
	unsigned random = 1;

	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	for (int i = 0; i < NAMES; i++)
		content[i] = -1;
	for (int round = 0; round < ROUNDS; round++) {
		int there = 0;

		for (int i = 0; i < NAMES; i++) {
			random = random * 1103515245 + 12345;
			snprintf(name, sizeof(name), "name-%d", i);
			if (content[i] >= 0 && random >> 16 & 1) {
				snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
				CHECK(say(run, text));
				content[i] = -1;
			} else if (content[i] < 0) {
				content[i] = round;
				snprintf(text, sizeof(text), "<%d>", round);
				CHECK(store(run, name, make_memfd(text)));
			}
		}
		kill(run->daemon, SIGKILL);
		CHECK(await_ready(run) && reported(run, "strange descriptors: 0"));
		for (int i = 0; i < NAMES; i++) {
			there += content[i] >= 0;
			CHECK(content[i] < 0 || reported(run, "fd name-%d <%d> ", i, content[i]));
		}
		CHECK(reported_fds(run) == there);
	}
	return PASSED;
}

static enum result keep_once(struct run *run)
{
	int fd = make_memfd("same");
	int other[2] = {dup(fd), make_memfd("different")};
	int before;

	CHECK(start(run, NULL) && await_ready(run));
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=a", &fd, 1));
	before = open_fds_of(run->supervisor);
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=a", &fd, 1));
	CHECK(open_fds_of(run->supervisor) == before);
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=b", other, 2));
	CHECK(open_fds_of(run->supervisor) == before + 1);
	CHECK(await_log(run, "b: a descriptor is the same as one of a"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 2);
	CHECK(reported(run, "fd a same") && reported(run, "fd b different"));
	close(fd), close(other[0]), close(other[1]);
	return PASSED;
}

/* As in many containers, whose seccomp filters forbid kcmp(2). */
static void forbid_kcmp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kcmp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(95);
}

static enum result keep_once_without_kcmp(struct run *run)
{
	int fd = make_memfd("");
	bool can_ask = fcntl(fd, 1024 + 3 /* F_DUPFD_QUERY */, fd) == 1;

	close(fd);
	if (!can_ask)
		SKIP("this kernel has no F_DUPFD_QUERY (6.10)");
	run->prepare = forbid_kcmp;
	return keep_once(run);
}

static enum result limit_the_number(struct run *run)
{
	int full[2];

	CHECK(pipe2(full, O_CLOEXEC) == 0);
	CHECK(start(run, "--store-max=2", NULL) && await_ready(run));
	CHECK(reported(run, "FDSTORE=2"));
	CHECK(store(run, "a", make_memfd("a")) && store(run, "b", make_memfd("b")));
	CHECK(store(run, "c", full[1]));
	CHECK(await_log(run, "c: 1 descriptors are NOT kept: the store is full (2, --store-max)"));
	CHECK(await_hangup(full[0]));
	CHECK(say(run, "FDSTOREREMOVE=1\nFDNAME=a") && store(run, "d", make_memfd("d")));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 2);
	CHECK(reported(run, "fd b b") && reported(run, "fd d d"));
	return PASSED;
}

/* One string of the environment has at most 32 pages: more, and no daemon could be started at all.
 */
static enum result limit_the_names(struct run *run)
{
	char text[400], name[256];
	int fits = (int)(32 * sysconf(_SC_PAGESIZE) / 256);
	int fds[200];

	memset(name, 'n', 255);
	name[255] = 0;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	CHECK(start(run, NULL) && await_ready(run));
	for (int sent = 0; sent < fits + 1; sent += 200) {
		for (int i = 0; i < 200; i++)
			fds[i] = make_memfd("x");
		CHECK(say_fds(run, text, fds, 200));
		for (int i = 0; i < 200; i++)
			close(fds[i]);
	}
	CHECK(await_log(run, "fill LISTEN_FDNAMES"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run));
	/* The variable's own name takes a bit of the last one's place. */
	CHECK(reported_fds(run) == fits - 1);
	CHECK(reported(run, "fd %s x", name));
	return PASSED;
}

static void allow_few_files(void)
{
	struct rlimit few = {228, 228};

	/* CAP_SYS_RESOURCE is 24. */
	prctl(PR_CAPBSET_DROP, 24, 0, 0, 0);
	if (setrlimit(RLIMIT_NOFILE, &few) != 0)
		_exit(95);
}

static enum result stay_within_the_limit_of_files(struct run *run)
{
	int fds[60];

	run->prepare = allow_few_files;
	CHECK(start(run, NULL));
	CHECK(await_log(run, "the limit of open files is 228") && await_log(run, "at most 50 "));
	CHECK(await_ready(run));
	for (int i = 0; i < 60; i++)
		fds[i] = make_memfd("x");
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=x", fds, 60));
	CHECK(await_log(run, "x: 10 descriptors are NOT kept"));
	for (int i = 0; i < 60; i++)
		close(fds[i]);
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 50);
	return PASSED;
}

static enum result drop_what_hangs_up(struct run *run)
{
	int polled[2], kept[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, polled) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, kept) == 0);
	CHECK(start(run, NULL) && await_ready(run));
	CHECK(say_fds(run, "FDSTORE=1\nFDNAME=polled", &polled[1], 1));
	close(polled[1]);
	CHECK(store(run, "kept", kept[1]));
	close(polled[0]);
	close(kept[0]);
	CHECK(await_log(run, "polled: a kept descriptor reports an error or a hang-up"));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported_fds(run) == 1 && reported(run, "fd kept"));
	return PASSED;
}

/* The last words of a daemon are heard before its end: what it has stored with them is passed on.
 */
static enum result hear_last_words(struct run *run)
{
	enum { TIMES = 50 };
	char text[64];

	CHECK(start(run, "--backoff-max=0", NULL) && await_daemon(run));
	for (int i = 0; i < TIMES; i++) {
		int fd;

		snprintf(text, sizeof(text), "<%d>", i);
		fd = make_memfd(text);
		snprintf(text, sizeof(text), "last words FDSTORE=1\nFDPOLL=0\nFDNAME=word-%d", i);
		tell_fds(run, text, strlen(text), &fd, 1, "");
		close(fd);
		CHECK(await_daemon(run) && reported_fds(run) == i + 1);
		CHECK(reported(run, "fd word-%d <%d> ", i, i));
	}
	return PASSED;
}

/* The close of this one takes seconds: it lingers over data that nobody reads. */
static int make_slow_socket(int *peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct linger linger = {.l_onoff = 1, .l_linger = 15};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char bytes[65536] = {0};

	if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
	    connect(fd, (struct sockaddr *)&address, size) != 0)
		perror("loopback");
	*peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return fd;
}

static enum result wait_for_no_close(struct run *run)
{
	double before;
	int peer, fd, open;

	CHECK(start(run, NULL) && await_ready(run));
	fd = make_slow_socket(&peer);
	open = open_fds_of(run->supervisor);
	CHECK(say_fds(run, "FDSTORE=1\nFDPOLL=0\nFDNAME=slow", &fd, 1));
	/* Only the supervisor has it then: the last close is the one that lingers. */
	close(fd);
	before = now();
	CHECK(say(run, "FDSTOREREMOVE=1\nFDNAME=slow"));
	/* The close has begun: else the next daemon would be forked with it, and linger itself. */
	CHECK(await_open_fds(run->supervisor, open));
	kill(run->daemon, SIGKILL);
	CHECK(await_ready(run) && now() - before < 10 && reported_fds(run) == 0);
	/* Unread data at a close resets the connection, and the lingering ends. */
	close(peer);
	return PASSED;
}

static enum result survive_a_lack_of_descriptors(struct run *run)
{
	struct rlimit few, enough;
	int ends[2];

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(start(run, "--backoff-max=0.1", NULL) && await_ready(run));
	CHECK(store(run, "early", make_memfd("early")));
	CHECK(prlimit(run->supervisor, RLIMIT_NOFILE, NULL, &enough) == 0);
	few = (struct rlimit){(rlim_t)open_fds_of(run->supervisor), enough.rlim_max};
	CHECK(prlimit(run->supervisor, RLIMIT_NOFILE, &few, NULL) == 0);
	/* The barrier's descriptor does not arrive either, which closes it as well. */
	CHECK(store(run, "late", ends[1]) && await_hangup(ends[0]));
	CHECK(await_log(run, "late: some descriptors are NOT kept, only 0 arrived"));
	kill(run->daemon, SIGKILL);
	CHECK(await_log(run, "cannot start") && await_log(run, "Too many open files"));
	CHECK(prlimit(run->supervisor, RLIMIT_NOFILE, &enough, NULL) == 0);
	CHECK(await_ready(run) && reported_fds(run) == 1 && reported(run, "fd early early"));
	return PASSED;
}

const struct test store_tests[] = {
	{"stored descriptors come back with their names, in order and in working order", come_back},
	{"2000 descriptors survive five kills", keep_thousands},
	{"removing takes all descriptors of a name and closes them", remove_by_name},
	{"names stay with their descriptors when many come and go", shuffle},
	{"a descriptor that is stored twice is kept once", keep_once},
	{"a descriptor that is stored twice is kept once where kcmp is forbidden",
	 keep_once_without_kcmp},
	{"the number of kept descriptors has a limit", limit_the_number},
	{"names that do not fit into the environment are refused before they prevent a start",
	 limit_the_names},
	{"the limit of open files is told and respected", stay_within_the_limit_of_files},
	{"a polled descriptor that hangs up goes, another stays", drop_what_hangs_up},
	{"the close of a descriptor that takes long holds up nothing", wait_for_no_close},
	{"a lack of descriptors loses nothing that is kept", survive_a_lack_of_descriptors},
	{"what a daemon stores as it dies is kept", hear_last_words},
	{NULL, NULL},
};
