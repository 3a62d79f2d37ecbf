/*
 * A forked child.
 *
 * The kernel has given the manager a userfaultfd of the child's memory before fork returned, so its
 * faults are served from the beginning. What is missing is the tie between that descriptor and this
 * process, and an agent. The mailbox page is never present: reading it is a fault on the child's
 * descriptor, and the manager's answer is a token that only this child can know.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "agent.h"
#include "area.h"
#include "fork.h"
#include "message.h"

/* Zero comes from the kernel, not from a manager: nobody serves this memory. Anonymous pages are
 * then what they have to be. Pages of a lazily mapped file are not, and the child must not run on
 * them. */
static void judge_lost_memory(void)
{
	if (shim_area->files_used == 0)
		return;
	message_say("the manager has released the memory of this forked process, whose lazily "
		    "mapped files would read as zeros: aborting",
		    0);
	abort();
}

void fork_child(void)
{
	struct shim_session session;
	uint64_t signals;
	uint64_t token;
	int result;

	if (!shim_area || !shim_area->config.attached || shim_area->config.released)
		return;
	if (!shim_area->config.follows_forks) {
		shim_area->config.attached = false;
		return;
	}
	shim_block_signals(&signals);
	token = *(volatile uint64_t *)shim_area->mailbox;
	/* Or this child's own children would find the page present. */
	sys3(SYS_madvise, shim_area->mailbox, SHIM_PAGE, MADV_DONTNEED);
	if (token == 0) {
		judge_lost_memory();
		shim_area->config.attached = false;
	} else if (sys5(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) == 0) {
		/* A filter that the parent has put up for its children need not know sockets and
		 * clone: such a child is served without an agent. */
		result = session_start_child(&session, token);
		if (result == 0) {
			result = agent_start(&session);
			session.failed = "start the agent";
			sys1(SYS_close, session.socket);
			sys1(SYS_close, session.uffd);
		}
		if (result && shim_area->config.verbose)
			message_failure("forked child goes on without an agent", session.failed,
					-result);
	}
	shim_restore_signals(&signals);
}
