#include <errno.h>
#include "agent.h"
#include "doorbell.h"

#define LOOK_MS 100u

bool doorbell_works(void)
{
	return shim_area && agent_is_alive();
}

struct shim_slot *doorbell_claim(void)
{
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < SHIM_SLOTS; i++) {
			struct shim_slot *slot = &shim_area->slots[i];
			uint32_t state = SHIM_SLOT_FREE;

			if (__atomic_compare_exchange_n(&slot->state, &state, SHIM_SLOT_CLAIMED,
							false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return slot;
		}
		sys0(SYS_sched_yield);
	}
	return NULL;
}

void doorbell_release(struct shim_slot *slot)
{
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
		if (state == SHIM_SLOT_POSTED && patience-- == 0 &&
		    __atomic_compare_exchange_n(&slot->state, &state, SHIM_SLOT_CLAIMED, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			result = -ETIMEDOUT;
			break;
		}
	}
	doorbell_release(slot);
	return result;
}
