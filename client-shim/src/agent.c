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
#include "area.h"
#include "doorbell.h"
#include "identity.h"
#include "lazy.h"

/* The agent's descriptor table, from the moment it serves. */
enum { AGENT_SOCKET, AGENT_UFFD, AGENT_PROC, AGENT_FIRST_FREE };

#define START_PATIENCE_MS 5000u
#define STOP_PATIENCE_MS 100u
#define RETRY_FIRST_MS 10u
#define RETRY_LAST_MS 1000u
#define WATCH_MS 1000u

/* struct futex_waitv of Linux 5.16. */
struct wait_entry {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};
#define WAIT_32 2u

/* Of the agent alone; a forked child's copy is meaningless until it starts its own. */
static struct {
	int program; /* pid */
	int program_fd;
	struct shim_session session;
} agent;

static struct shim_control *control(void)
{
	return &shim_area->control;
}

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static _Noreturn void quit(void)
{
	for (;;)
		sys1(SYS_exit_group, 0);
}

/* 0 free, 1 held, 2 held and somebody waits. */
static void lock_link(void)
{
	uint32_t *lock = &control()->lock;
	uint32_t seen = 0;

	if (__atomic_compare_exchange_n(lock, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE) != 0)
		shim_wait(lock, 2, 0);
}

static void unlock_link(void)
{
	if (__atomic_exchange_n(&control()->lock, 0, __ATOMIC_RELEASE) == 2)
		shim_wake(&control()->lock, 1);
}

static uint32_t *alive_word(void)
{
	return (uint32_t *)&control()->alive.__data.__lock;
}

/* PF_EXITING of the kernel, in the flags of /proc/pid/stat. */
#define TASK_IS_EXITING 0x4ul

/* "pid (comm) state ppid pgrp session tty tpgid flags ...": comm may contain anything, so from
 * behind. */
static bool is_ended_leader(const char *stat, long length)
{
	unsigned long flags = 0;
	long at = length - 3;
	int blanks = 0;

	while (at > 0 && stat[at] != ')')
		at--;
	if (at <= 0)
		return false;
	if (stat[at + 2] == 'Z' || stat[at + 2] == 'X')
		return true;
	for (at++; at < length && blanks < 8; at++) {
		if (stat[at] == ' ')
			blanks++;
		else if (blanks == 7)
			flags = flags * 10 + (unsigned long)(stat[at] - '0');
	}
	return (flags & TASK_IS_EXITING) != 0;
}

/*
 * The program's main thread has ended or has executed another program; only its state tells which.
 * A leader that ends before its threads stays a zombie; after exec the pid is alive and well, and
 * this memory has no user but the agent.
 */
static bool program_runs_something_else(void)
{
	char path[32] = "";
	char stat[512];
	char *end = path;
	char digits[12];
	int count = 0;
	long length;
	long fd;

	for (int pid = agent.program; pid > 0; pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	while (count > 0)
		*end++ = digits[--count];
	for (const char *rest = "/stat"; *rest; rest++)
		*end++ = *rest;
	*end = 0;
	fd = sys4(SYS_openat, AGENT_PROC, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return true;
	length = sys3(SYS_read, fd, stat, sizeof(stat));
	sys1(SYS_close, fd);
	return !is_ended_leader(stat, length);
}

static void check_program(void)
{
	struct pollfd program = {.fd = agent.program_fd, .events = POLLIN};
	struct timespec now = {0};

	if (sys5(SYS_ppoll, &program, 1, &now, NULL, 0) != 0)
		quit();
	if ((load(alive_word()) & FUTEX_OWNER_DIED) && program_runs_something_else())
		quit();
}

/* ---- the connection ---- */

static void note_events(const struct wire_events *events)
{
	if (!events->goodbye || events->reason == UFFDM_REASON_SHUTTING_DOWN)
		return;
	/* The manager serves this program no longer and has said so: hooks and forked children
	 * go on by themselves, and nothing is left to keep. */
	shim_area->config.released = true;
	store(&control()->state, SHIM_LINK_RELEASED);
	quit();
}

/* A new manager serves nothing of an adopted userfaultfd until it is told which ranges are more
 * than zeros, and that this was all. */
static void resume_everything(void)
{
	const struct uffdm_range all = {0};
	struct wire_events events = {0};
	struct wire_message message;

	if (lazy_register_again(AGENT_SOCKET, agent.program_fd) == -EPIPE)
		return;
	wire_begin(&message, UFFDM_WAKE, &all, sizeof(all));
	wire_request(AGENT_SOCKET, &message, UFFDM_DONE, &events);
	note_events(&events);
}

/* With the lock held and the connection at its end. Returns with a new one. */
static void find_manager(void)
{
	unsigned delay = RETRY_FIRST_MS;
	bool known;

	store(&control()->state, SHIM_LINK_DOWN);
	sys1(SYS_close, AGENT_SOCKET);
	while (session_resume(&agent.session, &known) != 0) {
		struct pollfd program = {.fd = agent.program_fd, .events = POLLIN};
		struct timespec pause = {.tv_sec = delay / 1000,
					 .tv_nsec = (long)(delay % 1000) * 1000000};

		sys5(SYS_ppoll, &program, 1, &pause, NULL, 0);
		check_program();
		delay = delay * 2 < RETRY_LAST_MS ? delay * 2 : RETRY_LAST_MS;
	}
	if (agent.session.socket != AGENT_SOCKET) {
		sys3(SYS_dup3, agent.session.socket, AGENT_SOCKET, O_CLOEXEC);
		sys1(SYS_close, agent.session.socket);
		agent.session.socket = AGENT_SOCKET;
	}
	wire_set_timeout(AGENT_SOCKET, 0);
	if (!known)
		resume_everything();
	store(&control()->state, SHIM_LINK_UP);
}

/* Whether the calling task has rights that it will have to give up when the program does, and so
 * has to look from time to time. */
static bool follow_identity(void)
{
	if (!identity_is_privileged())
		return false;
	identity_follow(AGENT_PROC, agent.program);
	return identity_is_privileged();
}

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

		sys5(SYS_ppoll, files, 2, follow_identity() ? &period : NULL, NULL, 0);
		check_program();
		if (files[0].revents == 0)
			continue;
		lock_link();
		while (result == 1)
			result = wire_unsolicited(AGENT_SOCKET, &events);
		note_events(&events);
		if (result == -EPIPE)
			find_manager();
		unlock_link();
	}
}

/* ---- the hooks' requests ---- */

static int serve(const struct shim_slot *slot)
{
	struct wire_events events = {0};
	int result;

	if (slot->kind == SHIM_STOP)
		quit();
	if (slot->kind == SHIM_MAP_LAZY)
		return lazy_map(AGENT_SOCKET, AGENT_PROC, slot, &events);
	const struct wire_register range = {.start = slot->start, .length = slot->length};

	result = wire_register(AGENT_SOCKET, &range, &events);
	note_events(&events);
	return result;
}

static void serve_all(void)
{
	for (unsigned i = 0; i < SHIM_SLOTS; i++) {
		struct shim_slot *slot = &shim_area->slots[i];
		uint32_t posted = SHIM_SLOT_POSTED;

		if (load(&slot->state) != SHIM_SLOT_POSTED)
			continue;
		/* First the connection, then the request: while the leader looks for a manager
		 * the hook can still take it back. */
		lock_link();
		if (__atomic_compare_exchange_n(&slot->state, &posted, SHIM_SLOT_TAKEN, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			slot->result = serve(slot);
			unlock_link();
			if (slot->kind == SHIM_MAP_LAZY && slot->result != 0)
				lazy_unmap(slot);
			store(&slot->state, SHIM_SLOT_ANSWERED);
			shim_wake(&slot->state, 1);
		} else {
			unlock_link();
		}
	}
}

/* Sleeps until the bell rings or the main thread goes. Once that is gone, and on kernels that
 * cannot wait for two words, it has to look from time to time. */
static void await_bell(uint32_t seen)
{
	uint32_t alive = load(alive_word());
	const struct wait_entry words[] = {
		{seen, (uintptr_t)&control()->bell, WAIT_32 | FUTEX_PRIVATE_FLAG, 0},
		{alive, (uintptr_t)alive_word(), WAIT_32, 0},
	};
	struct timespec until = {0};
	bool is_timed = follow_identity();
	long result = -ENOSYS;

	sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &until);
	until.tv_sec += WATCH_MS / 1000;
	if (!(alive & FUTEX_OWNER_DIED))
		result = sys5(SYS_futex_waitv, words, 2, 0, is_timed ? &until : NULL,
			      CLOCK_MONOTONIC);
	if (result < 0 && result != -EAGAIN && result != -EINTR && result != -ETIMEDOUT)
		shim_wait(&control()->bell, seen, WATCH_MS);
}

static _Noreturn int ring(void *unused)
{
	(void)unused;
	/* Without this bit the kernel marks the word but wakes nobody. */
	__atomic_or_fetch(alive_word(), FUTEX_WAITERS, __ATOMIC_ACQ_REL);
	for (;;) {
		uint32_t seen = load(&control()->bell);

		serve_all();
		if (load(alive_word()) & FUTEX_OWNER_DIED)
			check_program();
		await_bell(seen);
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
	result = sys_clone_call(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
					CLONE_SYSVSEM | CLONE_UNTRACED,
				shim_area->ringer_stack + SHIM_STACK, NULL, ring, NULL);
	return result < 0 ? (int)result : 0;
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

/* The main thread takes the mutex that only its end will release. */
static void hold_alive(void)
{
	pthread_mutexattr_t robust;

	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&control()->alive, &robust);
	pthread_mutex_lock(&control()->alive);
	pthread_mutexattr_destroy(&robust);
}

int agent_start(const struct shim_session *session)
{
	unsigned waited = 0;
	long leader;

	if (control()->alive.__data.__lock == 0)
		hold_alive();
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
