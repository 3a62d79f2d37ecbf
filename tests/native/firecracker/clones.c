/*
 * clones.c - many guests of one snapshot at the same time, each a process of its own as Firecracker
 * is one: all are ready to connect before the first one does.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "handover.h"
#include "report.h"
#include "run.h"
#include "scan.h"

/* Shared by all: how far each has come, and the samples of all, one block after the other. */
struct shared {
	uint32_t *ns;
	uint64_t per_clone;
};

static void clone_main(const struct run *run, const struct shared *shared, unsigned int number,
		       const int *go, int ready, const int *leave)
{
	static struct guest guest;
	struct scan scan;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	guest_create(&guest, &run->memory, run->image, run->pattern);
	scan_create(&scan, run, guest.pages);
	if (write(ready, &byte, 1) != 1 || read(go[0], &byte, 1) != 0)
		_exit(EXIT_WRONG);
	int socket = handover_connect(run->socket);
	char message[8192];
	size_t length = handover_message(message, sizeof(message), &guest.memory,
					 run->memory.version, run->unknown_keys);
	int error = handover_send(socket, message, length, &guest.memory.uffd, 1, 0);

	if (error)
		report_refused(error, "the message could not be sent");
	if (!run->memory.version->keeps_socket)
		close(socket);
	scan_run(&scan, run, &guest);
	for (uint64_t i = 0; i < scan.count; i++)
		shared->ns[number * shared->per_clone + i] = scan.ns[i];
	if (write(ready, &byte, 1) != 1 || read(leave[0], &byte, 1) != 0)
		_exit(EXIT_WRONG);
	_exit(0);
}

/* A clone that ended has ended too soon; it has said why. */
static void check_clones(unsigned int patience)
{
	int status;

	if (waitpid(-1, &status, WNOHANG) > 0)
		report_fail("a clone is gone: status %#x", status);
	report_check_patience(patience);
}

/* One byte of each clone, or the end of everything. */
static void await_all(int ready, unsigned int clones, unsigned int patience)
{
	for (unsigned int i = 0; i < clones; i++) {
		struct pollfd poll_fd = {.fd = ready, .events = POLLIN};
		char byte;

		while (poll(&poll_fd, 1, 100) == 0)
			check_clones(patience);
		if (read(ready, &byte, 1) != 1)
			report_fail("the clones' pipe: %s", strerror(errno));
	}
}

static void pipe_or_die(int *ends)
{
	if (pipe(ends) < 0)
		report_setup(errno, "pipe");
}

int run_clones(const struct run *run)
{
	int go[2];
	int ready[2];
	int leave[2];
	uint64_t page = run->memory.huge ? 2ul << 20 : 4096;
	uint64_t pages = (run->memory.length + run->memory.hotplug) / page;
	struct shared shared = {
		.per_clone = run->touch > 0 && run->touch < pages ? run->touch : pages,
	};

	shared.ns = mmap(NULL, run->clones * shared.per_clone * sizeof(*shared.ns),
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared.ns == MAP_FAILED)
		report_setup(errno, "mmap");
	pipe_or_die(go);
	pipe_or_die(ready);
	pipe_or_die(leave);
	for (unsigned int i = 0; i < run->clones; i++) {
		pid_t pid = fork();

		if (pid < 0)
			report_setup(errno, "fork");
		if (pid > 0)
			continue;
		close(go[1]);
		close(leave[1]);
		clone_main(run, &shared, i, go, ready[1], leave);
	}
	report_begin("waits for the clones to be ready", 0);
	await_all(ready[0], run->clones, run->patience);
	report_end();

	uint64_t start = report_now();

	close(go[1]);
	report_begin("waits for the clones to be done", 0);
	await_all(ready[0], run->clones, run->patience);
	report_end();
	uint64_t elapsed = report_now() - start;

	scan_report("cloned", shared.ns, run->clones * shared.per_clone, elapsed, elapsed);
	if (run->hold) {
		report_line("holds");
		while (getchar() != EOF)
			;
	}
	close(leave[1]);
	int wrong = 0;
	int status;

	while (wait(&status) > 0)
		wrong |= status != 0;
	if (wrong)
		return EXIT_WRONG;
	report_line("ok clones=%u", run->clones);
	return 0;
}
