#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/random.h>
#include <time.h>
#include "agent_parts.h"
#include "lazy.h"

#define RETRY_FIRST_MS 10u
#define RETRY_LAST_MS 1000u

/* 0 free, 1 held, 2 held and somebody waits. */
static bool lock_until(uint64_t end)
{
	uint32_t *lock = &control()->lock;
	uint32_t seen = 0;

	if (__atomic_compare_exchange_n(lock, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return true;
	while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE) != 0) {
		uint64_t now = end ? shim_now_ms() : 0;

		if (end && now >= end)
			return false;
		shim_wait(lock, 2, end ? (unsigned)(end - now) : 0);
	}
	return true;
}

void link_lock(void)
{
	lock_until(0);
}

bool link_lock_within(unsigned timeout_ms)
{
	return lock_until(shim_now_ms() + timeout_ms);
}

void link_unlock(void)
{
	if (__atomic_exchange_n(&control()->lock, 0, __ATOMIC_RELEASE) == 2)
		shim_wake(&control()->lock, 1);
}

void link_note(const struct wire_events *events)
{
	if (!events->goodbye || events->reason == UFFDM_REASON_SHUTTING_DOWN)
		return;
	/* The manager serves this program no longer and has said so: hooks and forked children
	 * go on by themselves, and nothing is left to keep. */
	shim_area->config.released = true;
	store(&control()->state, SHIM_LINK_RELEASED);
	quit();
}

void link_lost(void)
{
	if (load(&control()->state) == SHIM_LINK_DOWN)
		return;
	__atomic_store_n(&control()->down_since, shim_now_ms(), __ATOMIC_RELEASE);
	store(&control()->state, SHIM_LINK_DOWN);
}

bool link_await(unsigned timeout_ms)
{
	uint64_t end = shim_now_ms() + timeout_ms;

	while (load(&control()->state) == SHIM_LINK_DOWN) {
		uint64_t now = shim_now_ms();

		if (now >= end)
			return false;
		shim_wait(&control()->state, SHIM_LINK_DOWN, (unsigned)(end - now));
	}
	return true;
}

/* A manager that did not know the session serves nothing of an adopted userfaultfd until it is told
 * which ranges are more than zeros, and that this was all. */
static int tell_everything(void)
{
	const struct uffdm_range all = {0};
	struct wire_events events = {0};
	struct wire_message message;
	int result = lazy_register_again(AGENT_SOCKET, agent.program_fd);

	if (result)
		return result;
	wire_begin(&message, UFFDM_WAKE, &all, sizeof(all));
	result = wire_request(AGENT_SOCKET, &message, UFFDM_DONE, &events);
	link_note(&events);
	return result;
}

/*
 * One attempt. A session that the manager knows by its token is as it was: one that had kept its
 * connections' sessions, or that has them from its predecessor. Any other manager adopts the
 * userfaultfd; that is only complete when tell_everything was, whatever connection it began on.
 */
static int try_renew(void)
{
	bool known;
	int result = session_resume(&agent.session, &known);

	if (result)
		return result;
	/* In place of the old one, which is open until now: the ringer opens files meanwhile, and
	 * must not get its number. */
	sys3(SYS_dup3, agent.session.socket, AGENT_SOCKET, O_CLOEXEC);
	sys1(SYS_close, agent.session.socket);
	agent.session.socket = AGENT_SOCKET;
	if (!known)
		agent.adopting = true;
	wire_set_timeout(AGENT_SOCKET, 0);
	if (agent.adopting)
		result = tell_everything();
	if (result == 0)
		agent.adopting = false;
	return result;
}

/* Between half and all of it: the agents of a host have lost their manager at the same moment, and
 * would ask for the next one in step. */
static unsigned at_random(unsigned delay_ms)
{
	uint32_t random;

	if (sys3(SYS_getrandom, &random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)agent.program * 2654435761u;
	return delay_ms / 2 + random % (delay_ms / 2 + 1);
}

void link_renew(void)
{
	unsigned delay = RETRY_FIRST_MS;

	link_lost();
	while (try_renew() != 0) {
		struct pollfd program = {.fd = agent.program_fd, .events = POLLIN};
		unsigned wait = at_random(delay);
		struct timespec pause = {.tv_sec = wait / 1000,
					 .tv_nsec = (long)(wait % 1000) * 1000000};

		sys5(SYS_ppoll, &program, 1, &pause, NULL, 0);
		program_check();
		program_follow_rights();
		delay = delay * 2 < RETRY_LAST_MS ? delay * 2 : RETRY_LAST_MS;
	}
	store(&control()->state, SHIM_LINK_UP);
	shim_wake(&control()->state, INT_MAX);
}
