/*
 * The constructor of libuffd-shim.so. It leaves no descriptor, no signal disposition, no errno and
 * no memory of libc's behind; whatever fails, the program runs as if the library were not there,
 * unless it was told that it must not.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include "agent.h"
#include "area.h"
#include "config.h"
#include "fork.h"
#include "hooks.h"
#include "message.h"

#define EXIT_UNMANAGED 125

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct shim_area *map_area(void)
{
	long result = sys_mmap(NULL, sizeof(struct shim_area), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct shim_area *area = (struct shim_area *)result;

	if (sys_is_error(result))
		return NULL;
	sys3(SYS_mprotect, area->guard0, sizeof(area->guard0), PROT_NONE);
	sys3(SYS_mprotect, area->guard1, sizeof(area->guard1), PROT_NONE);
	/* Without it a child could take its parent's agent for its own. */
	if (sys3(SYS_madvise, area, offsetof(struct shim_area, guard0), MADV_WIPEONFORK) != 0) {
		sys2(SYS_munmap, area, sizeof(*area));
		return NULL;
	}
	return area;
}

static void unmanaged(const struct shim_config *config, const char *step, int error)
{
	if (config->require) {
		message_failure("cannot be managed, and that is required", step, error);
		sys1(SYS_exit_group, EXIT_UNMANAGED);
	}
	if (config->verbose)
		message_failure("runs unmanaged", step, error);
}

static void start(void)
{
	struct shim_session session;
	struct shim_config *config;
	const char *refused;
	int result;

	shim_area = map_area();
	if (!shim_area)
		return;
	config = &shim_area->config;
	refused = config_read(config);
	if (refused) {
		unmanaged(config, refused, 0);
		return;
	}
	result = session_start(&session);
	if (result == 0) {
		result = agent_start(&session);
		session.failed = "start the agent";
		sys1(SYS_close, session.socket);
		sys1(SYS_close, session.uffd);
	}
	if (result) {
		unmanaged(config, session.failed, -result);
		return;
	}
	config->attached = true;
	config->follows_forks = session.follows_forks;
	if (!config->follows_forks && config->prefixes) {
		config->prefixes = 0;
		if (config->verbose)
			message_say("files are not mapped lazily: the manager cannot follow forks",
				    0);
	}
	pthread_atfork(NULL, NULL, fork_child);
	refused = hooks_install();
	if (config->verbose)
		message_failure(refused ? "managed, but for memory that libc maps itself"
					: "managed",
				refused, 0);
}

__attribute__((constructor)) static void initialise(void)
{
	int saved = errno;
	uint64_t signals;

	shim_block_signals(&signals);
	start();
	shim_restore_signals(&signals);
	errno = saved;
}

/* Not run when the program ends by _exit or a signal; its agent then notices by itself. */
__attribute__((destructor)) static void finish(void)
{
	int saved = errno;

	if (shim_area)
		agent_stop();
	errno = saved;
}
