/* Ends and restarts, timeouts, signals, and being PID 1. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "harness.h"

static enum result back_off(struct run *run)
{
	/* At once, then 0.1, 0.2, 0.4 s, and no more than that. */
	static const double least[] = {0, 0.1, 0.2, 0.4, 0.4, 0.4};
	double before;

	CHECK(start(run, "--backoff-max=0.4", "--stable=60", NULL) && await_ready(run));
	for (size_t i = 0; i < sizeof(least) / sizeof(*least); i++) {
		before = now();
		CHECK(order(run, "exit 1") && await_daemon(run));
		CHECK(now() - before >= least[i] && now() - before < least[i] + 3);
	}
	CHECK(await_log(run, "starting again in 0.4 s"));
	return PASSED;
}

static enum result forgive(struct run *run)
{
	CHECK(start(run, "--backoff-max=60", "--stable=0.2", NULL));
	for (int i = 0; i < 4; i++) {
		CHECK(await_ready(run));
		pause_ms(250);
		kill(run->daemon, SIGKILL);
	}
	CHECK(await_ready(run) && !is_in_log(run, "starting again in"));
	return PASSED;
}

static enum result restart_after_any_end(struct run *run)
{
	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	CHECK(store(run, "kept", make_memfd("kept")));
	/* Also after an orderly one: whoever wants a stop tells the supervisor. */
	CHECK(order(run, "exit 0") && await_ready(run) && reported(run, "fd kept kept"));
	CHECK(await_log(run, "ended with exit code 0"));
	CHECK(order(run, "exit 255") && await_ready(run) && reported(run, "fd kept kept"));
	kill(run->daemon, SIGALRM);
	CHECK(await_ready(run) && reported(run, "fd kept kept"));
	CHECK(await_log(run, "was ended by SIGALRM"));
	/* Before it is ready, too. */
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run) && reported(run, "fd kept kept"));
	return PASSED;
}

static enum result give_up_on_codes(struct run *run)
{
	static const int codes[] = {64, 71, 77, 78};

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct run other = *run;
		char command[16];

		snprintf(command, sizeof(command), "exit %d", codes[i]);
		CHECK(start(&other, NULL) && await_ready(&other) && order(&other, command));
		CHECK(await_end(&other) == codes[i] && is_in_log(&other, "GIVES UP"));
		clean_up(&other);
	}
	CHECK(start(run, "--no-restart-on=3,4", "--backoff-max=0", NULL) && await_ready(run));
	CHECK(order(run, "exit 78") && await_ready(run));
	CHECK(order(run, "exit 4") && await_end(run) == 4);
	return PASSED;
}

static enum result stop_in_order(struct run *run)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGQUIT};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct run other = *run;

		CHECK(start(&other, NULL) && await_ready(&other));
		kill(other.supervisor, signals[i]);
		CHECK(await_answer(&other, "SIGINT"));
		/* Impatience changes nothing. */
		kill(other.supervisor, signals[i]);
		CHECK(await_log(&other, "is stopping already") && no_answer_comes(&other, 50));
		CHECK(order(&other, i == 2 ? "exit 5" : "exit 0"));
		CHECK(await_end(&other) == (i == 2 ? 5 : 0));
		clean_up(&other);
	}
	return PASSED;
}

static enum result kill_what_does_not_stop(struct run *run)
{
	CHECK(start(run, "--stop-timeout=0.3", NULL) && await_ready(run));
	kill(run->supervisor, SIGTERM);
	CHECK(await_answer(run, "SIGINT") && await_end(run) == 128 + SIGKILL);
	CHECK(is_in_log(run, "has not ended in time: sending SIGKILL"));
	return PASSED;
}

/* Its sessions would die with it: it gets SIGINT as soon as it can do something about it. */
static enum result stop_when_ready(struct run *run)
{
	CHECK(start(run, NULL) && await_ready(run) && store(run, "kept", make_memfd("kept")));
	kill(run->daemon, SIGKILL);
	CHECK(await_daemon(run));
	kill(run->supervisor, SIGTERM);
	CHECK(await_log(run, "SIGTERM: stopping") && no_answer_comes(run, 100));
	CHECK(tell(run, "say READY=1", "said") && await_answer(run, "SIGINT"));
	CHECK(say(run, "FDSTOREREMOVE=1\nFDNAME=kept") && order(run, "exit 0"));
	CHECK(await_end(run) == 0);
	return PASSED;
}

static enum result stop_while_waiting(struct run *run)
{
	CHECK(start(run, "--backoff-max=60", "--stable=60", NULL) && await_ready(run));
	for (int i = 0; i < 4; i++)
		CHECK(order(run, "exit 9") && await_daemon(run));
	CHECK(order(run, "exit 9") && await_log(run, "starting again in 0.8 s"));
	kill(run->supervisor, SIGTERM);
	CHECK(await_end(run) == 9);
	return PASSED;
}

static enum result hand_over(struct run *run)
{
	CHECK(start(run, "--backoff-max=60", NULL) && await_ready(run));
	CHECK(store(run, "kept", make_memfd("kept")));
	for (int i = 0; i < 5; i++) {
		kill(run->supervisor, SIGUSR2);
		CHECK(await_answer(run, "SIGTERM") && order(run, "exit 0"));
		CHECK(await_ready(run) && reported(run, "fd kept kept"));
	}
	CHECK(!is_in_log(run, "starting again in"));
	/* One that does not go is made to, and nothing is lost. */
	kill(run->supervisor, SIGUSR2);
	CHECK(await_answer(run, "SIGTERM"));
	kill(run->daemon, SIGKILL);
	CHECK(await_ready(run) && reported(run, "fd kept kept"));
	return PASSED;
}

static enum result pass_signals_on(struct run *run)
{
	CHECK(start(run, NULL) && await_daemon(run));
	kill(run->supervisor, SIGHUP);
	CHECK(await_log(run, "SIGHUP: will be passed on") && no_answer_comes(run, 50));
	CHECK(tell(run, "say READY=1", "said") && await_answer(run, "SIGHUP"));
	kill(run->supervisor, SIGUSR1);
	CHECK(await_answer(run, "SIGUSR1"));
	kill(run->supervisor, SIGHUP);
	CHECK(await_answer(run, "SIGHUP"));
	return PASSED;
}

static enum result watch_the_watchdog(struct run *run)
{
	double before;

	CHECK(start(run, "--watchdog=1", "--abort-timeout=0.3", "--backoff-max=0", NULL));
	CHECK(await_daemon(run) && store(run, "kept", make_memfd("kept")));
	CHECK(reported(run, "WATCHDOG_USEC=1000000") && reported(run, "watchdog pid right"));
	/* It begins with READY. */
	CHECK(no_daemon_comes(run, 1300) && say(run, "READY=1"));
	before = now();
	while (now() - before < 2) {
		CHECK(say(run, "WATCHDOG=1"));
		pause_ms(50);
	}
	CHECK(!is_in_log(run, "silent (watchdog)"));
	CHECK(await_ready(run) && reported(run, "fd kept kept"));
	CHECK(await_log(run, "the daemon is silent (watchdog): sending SIGABRT"));
	CHECK(await_log(run, "was ended by SIGABRT"));
	CHECK(tell(run, "ignore abort", "ignored") && await_ready(run));
	CHECK(await_log(run, "sending SIGKILL") && reported(run, "fd kept kept"));
	CHECK(order(run, "say WATCHDOG=trigger") && await_daemon(run));
	CHECK(await_log(run, "WATCHDOG=trigger") && reported(run, "fd kept kept"));
	return PASSED;
}

static enum result kill_the_silent_at_once(struct run *run)
{
	CHECK(start(run, "--watchdog=1", "--backoff-max=0", NULL));
	CHECK(await_daemon(run) && store(run, "kept", make_memfd("kept")));
	CHECK(tell(run, "ignore abort", "ignored") && say(run, "READY=1"));
	CHECK(await_ready(run) && reported(run, "fd kept kept"));
	CHECK(await_log(run, "the daemon is silent (watchdog): sending SIGKILL"));
	CHECK(await_log(run, "was ended by SIGKILL"));
	return PASSED;
}

/* Both are stopped, as a frozen container is: nobody is guilty. */
static enum result forgive_a_freeze(struct run *run)
{
	CHECK(start(run, "--watchdog=1", NULL) && await_ready(run));
	kill(run->supervisor, SIGSTOP);
	pause_ms(3000);
	kill(run->supervisor, SIGCONT);
	CHECK(await_log(run, "was stopped for a while: the watchdog begins anew"));
	CHECK(say(run, "WATCHDOG=1") && !is_in_log(run, "SIGKILL"));
	return PASSED;
}

/* Stopped for less time than it may be silent, and it goes on when hardly any of that is left or it
 * is over by a moment: as a virtual machine that is paused. */
static enum result forgive_a_pause(struct run *run)
{
	CHECK(start(run, "--watchdog=3", NULL) && await_ready(run));
	for (int over = -100; over <= 100; over += 200) {
		CHECK(say(run, "WATCHDOG=1"));
		pause_ms(900);
		kill(run->supervisor, SIGSTOP);
		pause_ms(2100 + over);
		kill(run->supervisor, SIGCONT);
		pause_ms(900);
	}
	CHECK(!is_in_log(run, "silent (watchdog)"));
	CHECK(await_log(run, "the daemon is silent (watchdog)"));
	return PASSED;
}

static enum result limit_the_start(struct run *run)
{
	double before = now();

	CHECK(start(run, "--start-timeout=1", "--backoff-max=0", NULL) && await_daemon(run));
	CHECK(await_daemon(run) && now() - before >= 1);
	CHECK(await_log(run, "the daemon is not ready in time: sending SIGKILL"));
	before = now();
	CHECK(say(run, "EXTEND_TIMEOUT_USEC=2500000") && await_daemon(run));
	CHECK(now() - before >= 2.4);
	CHECK(say(run, "READY=1") && no_daemon_comes(run, 1200));
	return PASSED;
}

static enum result notice_a_stop_by_itself(struct run *run)
{
	CHECK(start(run, "--stop-timeout=0.4", "--watchdog=60", NULL) && await_ready(run));
	CHECK(say(run, "STOPPING=1") && await_log(run, "is stopping by itself"));
	CHECK(await_ready(run) && await_log(run, "has not ended in time: sending SIGKILL"));
	return PASSED;
}

static void fill_the_log(void)
{
	char byte = '.';

	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096);
	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	while (write(STDERR_FILENO, &byte, 1) == 1)
		;
	fcntl(STDERR_FILENO, F_SETFL, 0);
}

static enum result live_without_a_reader(struct run *run)
{
	run->prepare = fill_the_log;
	run->is_log_unread = true;
	CHECK(start(run, "--backoff-max=0", NULL) && await_ready(run));
	for (int i = 0; i < 3; i++) {
		kill(run->daemon, SIGKILL);
		CHECK(await_ready(run));
	}
	/* And then the reader goes. */
	close(run->log_pipe);
	run->log_pipe = -1;
	kill(run->daemon, SIGKILL);
	CHECK(await_ready(run));
	kill(run->supervisor, SIGTERM);
	CHECK(await_answer(run, "SIGINT") && order(run, "exit 0") && await_end(run) == 0);
	return PASSED;
}

/* ---- PID 1 ---- */

static void mount_proc(void)
{
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) != 0)
		_exit(95);
}

static enum result be_init(struct run *run)
{
	char text[] = "child says FDSTORE=1\nFDPOLL=0\nFDNAME=by-child";
	int fd = make_memfd("child");

	if (geteuid() != 0)
		SKIP("PID namespaces need root");
	run->clone_flags = CLONE_NEWPID | CLONE_NEWNS;
	run->prepare = mount_proc;
	CHECK(start(run, "--verbose", NULL) && await_daemon(run));
	CHECK(strncmp(run->report, "pid 2\n", 6) == 0);
	CHECK(tell_fds(run, text, strlen(text), &fd, 1, "said"));
	close(fd);
	CHECK(say(run, "READY=1") && order(run, "orphan") && await_log(run, "an orphan"));
	CHECK(await_answer(run, "orphan of 1"));
	kill(run->daemon, SIGKILL);
	CHECK(await_ready(run) && reported(run, "fd by-child child"));
	kill(run->supervisor, SIGHUP);
	CHECK(await_answer(run, "SIGHUP"));
	kill(run->supervisor, SIGTERM);
	CHECK(await_answer(run, "SIGINT") && order(run, "exit 3") && await_end(run) == 3);
	return PASSED;
}

/* Numbers of our namespace mean other processes there. */
static enum result distrust_a_foreign_proc(struct run *run)
{
	if (geteuid() != 0)
		SKIP("PID namespaces need root");
	run->clone_flags = CLONE_NEWPID;
	CHECK(start(run, NULL) && await_ready(run) && await_log(run, "is ready"));
	CHECK(order(run, "child says STATUS=x") && await_log(run, "which is not the daemon's"));
	return PASSED;
}

static enum result adopt_orphans(struct run *run)
{
	char expected[64];

	CHECK(start(run, "--subreaper", "--verbose", NULL) && await_ready(run));
	snprintf(expected, sizeof(expected), "orphan of %d", run->supervisor);
	CHECK(tell(run, "orphan", expected) && await_log(run, "an orphan"));
	return PASSED;
}

const struct test life_tests[] = {
	{"restarts are at once first, then farther and farther apart", back_off},
	{"a life that was long enough makes the next restart immediate", forgive},
	{"the daemon is restarted after any unexpected end", restart_after_any_end},
	{"some exit codes are final", give_up_on_codes},
	{"SIGTERM, SIGINT and SIGQUIT stop the daemon by SIGINT, and its exit code is passed on",
	 stop_in_order},
	{"a daemon that does not stop is killed", kill_what_does_not_stop},
	{"a starting daemon that is to stop gets ready first", stop_when_ready},
	{"a stop between two daemons ends at once", stop_while_waiting},
	{"SIGUSR2 hands over to a successor without delay", hand_over},
	{"SIGHUP and SIGUSR1 are passed on, once the daemon is ready", pass_signals_on},
	{"a silent daemon is aborted, then killed, then replaced", watch_the_watchdog},
	{"a silent daemon is killed at once by default", kill_the_silent_at_once},
	{"a supervisor that was frozen does not blame the daemon", forgive_a_freeze},
	{"a supervisor that stood still itself does not count that time", forgive_a_pause},
	{"a daemon that does not become ready is replaced, unless it asks for time",
	 limit_the_start},
	{"a daemon that announces its end and does not come to it is killed",
	 notice_a_stop_by_itself},
	{"a log that nobody reads stops nothing", live_without_a_reader},
	{"PID 1 reaps orphans and ends by SIGTERM", be_init},
	{"relatives are not looked for in the /proc of another namespace", distrust_a_foreign_proc},
	{"a subreaper reaps orphans", adopt_orphans},
	{NULL, NULL},
};
