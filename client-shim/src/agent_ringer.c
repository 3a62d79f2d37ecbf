#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <time.h>
#include "agent_parts.h"
#include "lazy.h"

/* struct futex_waitv of Linux 5.16. */
struct wait_entry {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};
#define WAIT_32 2u

static int serve_once(const struct shim_slot *slot)
{
	struct wire_events events = {0};
	int result;

	if (slot->kind == SHIM_STOP)
		quit();
	if (slot->kind == SHIM_MAP_LAZY) {
		result = lazy_map(AGENT_SOCKET, AGENT_PROC, slot, &events);
	} else {
		const struct wire_register range = {.start = slot->start, .length = slot->length};

		result = wire_register(AGENT_SOCKET, &range, &events);
	}
	link_note(&events);
	return result;
}

/*
 * With the lock held on entry, without it on return. A request whose connection ends before the
 * answer may have been carried out or not: it is made again on the next connection, whose manager
 * finds it done or does it. No longer than the hook would have waited for a manager in the first
 * place: who looks for one keeps the lock until it is there.
 */
static int serve(const struct shim_slot *slot)
{
	int result;

	while ((result = serve_once(slot)) == -EPIPE) {
		link_lost();
		link_unlock();
		if (!link_await(SHIM_PATIENCE_MS) || !link_lock_within(SHIM_PATIENCE_MS))
			return -EPIPE;
	}
	link_unlock();
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
		link_lock();
		if (__atomic_compare_exchange_n(&slot->state, &posted, SHIM_SLOT_TAKEN, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			slot->result = serve(slot);
			if (slot->kind == SHIM_MAP_LAZY) {
				if (slot->result != 0)
					lazy_unmap(slot);
				lazy_wipe(slot);
			}
			store(&slot->state, SHIM_SLOT_ANSWERED);
			shim_wake(&slot->state, 1);
		} else {
			link_unlock();
		}
	}
}

/* Sleeps until the bell rings or the main thread goes. Once that is gone, and on kernels that
 * cannot wait for two words, it has to look from time to time. */
static void await_bell(uint32_t seen)
{
	uint32_t alive = load(program_word());
	const struct wait_entry words[] = {
		{seen, (uintptr_t)&control()->bell, WAIT_32 | FUTEX_PRIVATE_FLAG, 0},
		{alive, (uintptr_t)program_word(), WAIT_32, 0},
	};
	struct timespec until = {0};
	bool is_timed = program_follow_rights();
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
	__atomic_or_fetch(program_word(), FUTEX_WAITERS, __ATOMIC_ACQ_REL);
	for (;;) {
		uint32_t seen = load(&control()->bell);

		serve_all();
		if (load(program_word()) & FUTEX_OWNER_DIED)
			program_check();
		await_bell(seen);
	}
}

int ringer_start(void)
{
	long task = sys_clone_call(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
					   CLONE_THREAD | CLONE_SYSVSEM | CLONE_UNTRACED,
				   shim_area->ringer_stack + SHIM_STACK, NULL, ring, NULL);

	return task < 0 ? (int)task : 0;
}
