#include <errno.h>
#include "agent.h"
#include "doorbell.h"

#define LOOK_MS 100u

/* Every mapping would wait anew for as long as the outage lasts, in a program that could go on. */
static bool is_manager_given_up(void)
{
	const struct shim_control *state = &shim_area->control;

	return __atomic_load_n(&state->state, __ATOMIC_ACQUIRE) == SHIM_LINK_DOWN &&
	       shim_now_ms() - __atomic_load_n(&state->down_since, __ATOMIC_ACQUIRE) >=
		       SHIM_PATIENCE_MS;
}

bool doorbell_works(void)
{
	return shim_area && agent_is_alive() && !is_manager_given_up();
}

/* A vfork child shares the slots with its parent and may be killed in the middle of a request. */
static bool take_over(struct shim_slot *slot)
{
	uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	int owner = __atomic_load_n(&slot->task, __ATOMIC_ACQUIRE);

	return (state == SHIM_SLOT_CLAIMED || state == SHIM_SLOT_ANSWERED) && owner != 0 &&
	       sys2(SYS_tkill, owner, 0) == -ESRCH &&
	       __atomic_compare_exchange_n(&slot->task, &owner, 0, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED) &&
	       __atomic_compare_exchange_n(&slot->state, &state, SHIM_SLOT_CLAIMED, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static struct shim_slot *own(struct shim_slot *slot)
{
	__atomic_store_n(&slot->task, (int)sys0(SYS_gettid), __ATOMIC_RELEASE);
	return slot;
}

struct shim_slot *doorbell_claim(void)
{
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < SHIM_SLOTS; i++) {
			struct shim_slot *slot = &shim_area->slots[i];
			uint32_t state = SHIM_SLOT_FREE;

			if (__atomic_compare_exchange_n(&slot->state, &state, SHIM_SLOT_CLAIMED,
							false, __ATOMIC_ACQUIRE,
							__ATOMIC_RELAXED) ||
			    (round > 0 && take_over(slot)))
				return own(slot);
		}
		sys0(SYS_sched_yield);
	}
	return NULL;
}

void doorbell_release(struct shim_slot *slot)
{
	__atomic_store_n(&slot->task, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->state, SHIM_SLOT_FREE, __ATOMIC_RELEASE);
}

void doorbell_post(struct shim_slot *slot)
{
	__atomic_store_n(&slot->state, SHIM_SLOT_POSTED, __ATOMIC_RELEASE);
	__atomic_add_fetch(&shim_area->control.bell, 1, __ATOMIC_ACQ_REL);
	shim_wake(&shim_area->control.bell, 1);
}

int doorbell_ring(struct shim_slot *slot)
{
	unsigned patience = SHIM_PATIENCE_MS / LOOK_MS;
	int result = -ECHILD;

	doorbell_post(slot);
	for (;;) {
		uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);

		if (state == SHIM_SLOT_ANSWERED) {
			result = slot->result;
			break;
		}
		if (!agent_is_alive())
			break;
		if (shim_wait(&slot->state, state, LOOK_MS) != -ETIMEDOUT)
			continue;
		if (state == SHIM_SLOT_POSTED && (patience-- == 0 || is_manager_given_up()) &&
		    __atomic_compare_exchange_n(&slot->state, &state, SHIM_SLOT_CLAIMED, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			result = -ETIMEDOUT;
			break;
		}
	}
	doorbell_release(slot);
	return result;
}
