#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include "agent.h"
#include "agent_parts.h"
#include "doorbell.h"
#include "lazy.h"

#define START_PATIENCE_MS 5000u
#define STOP_PATIENCE_MS 100u

struct agent agent;

static _Noreturn void watch(void)
{
	for (;;) {
		struct pollfd files[] = {
			{.fd = AGENT_SOCKET, .events = POLLIN | POLLRDHUP},
			{.fd = agent.program_fd, .events = POLLIN},
		};
		struct timespec period = {.tv_sec = WATCH_MS / 1000};
		struct wire_events events = {0};
		int result = 1;

		sys5(SYS_ppoll, files, 2, program_follow_rights() ? &period : NULL, NULL, 0);
		program_check();
		if (files[0].revents == 0)
			continue;
		link_lock();
		while (result == 1)
			result = wire_unsolicited(AGENT_SOCKET, &events);
		link_note(&events);
		if (result == -EPIPE)
			link_renew();
		link_unlock();
	}
}

/* ---- start ---- */

static void close_from(unsigned first)
{
	struct rlimit limit = {.rlim_cur = 65536};

	if (sys3(SYS_close_range, first, ~0u, 0) == 0)
		return;
	sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
	if (limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (unsigned fd = first; fd < limit.rlim_cur; fd++)
		sys1(SYS_close, fd);
}

/* Brings the descriptors to their places and drops all that came from the program: a pipe whose
 * writing end stayed open here would never end for its reader. */
static int arrange_files(void)
{
	int from[AGENT_FIRST_FREE] = {agent.session.socket, agent.session.uffd, -1};

	from[AGENT_PROC] =
		(int)sys4(SYS_openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	for (int i = 0; i < AGENT_FIRST_FREE; i++) {
		long fd = from[i];

		if (fd >= 0 && fd < AGENT_FIRST_FREE)
			fd = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, AGENT_FIRST_FREE);
		if (fd < 0 && i != AGENT_PROC)
			return (int)fd;
		from[i] = (int)fd;
	}
	for (int i = 0; i < AGENT_FIRST_FREE; i++) {
		if (from[i] >= 0)
			sys3(SYS_dup3, from[i], i, O_CLOEXEC);
		else
			sys1(SYS_close, i);
	}
	close_from(AGENT_FIRST_FREE);
	agent.session.socket = AGENT_SOCKET;
	agent.session.uffd = AGENT_UFFD;
	return 0;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
}

static int set_up(void)
{
	long result = arrange_files();

	if (result)
		return (int)result;
	raise_file_limit();
	result = sys2(SYS_pidfd_open, agent.program, 0);
	if (result < 0)
		return (int)result;
	agent.program_fd = (int)result;
	if (sys0(SYS_getppid) != agent.program)
		return -ESRCH;
	sys0(SYS_setsid);
	sys1(SYS_chdir, "/");
	sys5(SYS_prctl, PR_SET_NAME, "uffd-agent", 0, 0, 0);
	wire_set_timeout(AGENT_SOCKET, 0);
	lazy_inherit(AGENT_PROC);
	return ringer_start();
}

static _Noreturn int lead(void *unused)
{
	(void)unused;
	int result = set_up();

	if (result) {
		control()->failure = result;
		quit();
	}
	store(&control()->state, SHIM_LINK_UP);
	shim_wake(&control()->state, 1);
	watch();
}

/* The kernel wakes the word that it clears as a futex shared between processes. */
static void await_end(unsigned timeout_ms)
{
	struct timespec timeout = {.tv_nsec = (long)timeout_ms * 1000000};
	int leader = __atomic_load_n(&control()->leader, __ATOMIC_ACQUIRE);

	if (leader != 0)
		sys4(SYS_futex, &control()->leader, FUTEX_WAIT, leader, &timeout);
}

void agent_stop(void)
{
	int leader = __atomic_load_n(&control()->leader, __ATOMIC_ACQUIRE);
	struct shim_slot *slot;
	uint64_t signals;

	if (leader <= 0)
		return;
	shim_block_signals(&signals);
	slot = doorbell_claim();
	if (slot) {
		slot->kind = SHIM_STOP;
		doorbell_post(slot);
		await_end(STOP_PATIENCE_MS);
		if (__atomic_load_n(&control()->leader, __ATOMIC_ACQUIRE) == 0)
			sys4(SYS_wait4, leader, NULL, __WALL, NULL);
	}
	shim_restore_signals(&signals);
}

bool agent_is_alive(void)
{
	const struct shim_control *state = control();

	return __atomic_load_n(&state->leader, __ATOMIC_ACQUIRE) != 0 &&
	       (load(&state->state) == SHIM_LINK_UP || load(&state->state) == SHIM_LINK_DOWN);
}

int agent_start(const struct shim_session *session)
{
	unsigned waited = 0;
	long leader;

	program_hold_word();
	agent.session = *session;
	agent.program = (int)sys0(SYS_getpid);
	control()->failure = 0;
	/* Set before the task exists, so that nobody takes it for dead; the kernel clears it. */
	__atomic_store_n(&control()->leader, -1, __ATOMIC_RELEASE);
	leader = sys_clone_call(
		CLONE_VM | CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
		shim_area->leader_stack + SHIM_STACK, &control()->leader, lead, NULL);
	if (leader < 0) {
		control()->leader = 0;
		return (int)leader;
	}
	while (load(&control()->state) == SHIM_LINK_NONE) {
		if (waited++ > START_PATIENCE_MS / 10)
			sys2(SYS_kill, leader, SIGKILL);
		if (__atomic_load_n(&control()->leader, __ATOMIC_ACQUIRE) == 0) {
			sys4(SYS_wait4, leader, NULL, __WALL, NULL);
			return control()->failure ? control()->failure : -ECHILD;
		}
		shim_wait(&control()->state, SHIM_LINK_NONE, 10);
	}
	return 0;
}
