/*
 * doorbell.h - how a hook asks the agent for something and waits for the answer: a slot of shared
 * memory and two futexes. No descriptor of the program is involved.
 */
#ifndef SHIM_DOORBELL_H
#define SHIM_DOORBELL_H

#include "area.h"

/* Whether a request could be served at all. */
bool doorbell_works(void);

/* A slot for the caller alone, or NULL if all are in use. Signals must be blocked from here to
 * doorbell_ring or doorbell_release: a handler that jumps away would take the slot with it. */
struct shim_slot *doorbell_claim(void);
void doorbell_release(struct shim_slot *slot);

/* Posts the request and does not wait; the slot stays with the agent. */
void doorbell_post(struct shim_slot *slot);

/*
 * Posts the request and waits for the agent. Gives the slot back. Returns the agent's result, or
 * -ETIMEDOUT if it did not take the request up in time (there is no manager at the moment), or
 * -ECHILD if there is no agent any more. A request that has been taken up is waited for as long as
 * the agent lives: only it knows what the manager has made of it.
 */
int doorbell_ring(struct shim_slot *slot);

#endif
