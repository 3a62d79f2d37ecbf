/*
 * hostile.c - hand-overs that cannot be served. Whoever sends one is a guest whose memory nobody
 * fills: the handler has to end it. Left alone it would freeze, or read zeros.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "attempt.h"
#include "report.h"

void attempt_retell(struct attempt *attempt)
{
	attempt->length = handover_message(attempt->text, ENDLESS, &attempt->guest.memory,
					   attempt->run->memory.version, false);
}

void attempt_send_only(struct attempt *attempt, int descriptor)
{
	if (descriptor < 0)
		report_setup(errno, "a descriptor");
	attempt->descriptors[0] = descriptor;
	attempt->count = 1;
}

void attempt_add(struct attempt *attempt, int descriptor)
{
	if (descriptor < 0)
		report_setup(errno, "a descriptor");
	attempt->descriptors[attempt->count++] = descriptor;
}

/* ---- what is wrong with the sending ---- */

static void silence(struct attempt *attempt)
{
	attempt->length = 0;
	attempt->untaken = true;
}

static void hangs_up(struct attempt *attempt)
{
	silence(attempt);
	attempt->leaves = true;
}

static void half(struct attempt *attempt)
{
	attempt->first = attempt->length / 2;
}

static void half_and_hangs_up(struct attempt *attempt)
{
	half(attempt);
	attempt->leaves = true;
}

static void late_descriptor(struct attempt *attempt)
{
	attempt->late = true;
}

static const struct hostile_kind sendings[] = {
	{"silence", silence},
	{"hangs-up", hangs_up},
	{"half", half},
	{"half-and-hangs-up", half_and_hangs_up},
	{"late-descriptor", late_descriptor},
	{0},
};

static const struct hostile_kind *const kinds[] = {sendings, hostile_descriptors, hostile_texts};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void run_list_hostile(void)
{
	for (size_t i = 0; i < KINDS; i++)
		for (const struct hostile_kind *kind = kinds[i]; kind->name; kind++)
			puts(kind->name);
}

static void prepare(struct attempt *attempt, const char *name)
{
	for (size_t i = 0; i < KINDS; i++) {
		for (const struct hostile_kind *kind = kinds[i]; kind->name; kind++) {
			if (strcmp(kind->name, name) == 0) {
				kind->prepare(attempt);
				return;
			}
		}
	}
	usage_error("there is no such hostile hand-over");
}

/* A handler that has heard enough hangs up: that is no error of ours, the guest's end tells. */
static void send_all(struct attempt *attempt)
{
	size_t length = attempt->first ? attempt->first : attempt->length;
	size_t sent = 0;

	if (length > 0 && attempt->late) {
		handover_send(attempt->socket, attempt->text, 1, NULL, 0, 0);
		sent = 1;
	}
	if (length > sent)
		handover_send(attempt->socket, attempt->text + sent, length - sent,
			      attempt->descriptors, attempt->count, 0);
	if (attempt->leaves)
		shutdown(attempt->socket, SHUT_RDWR);
	report_line("sent kind=%s bytes=%zu descriptors=%u", attempt->run->hostile, length,
		    attempt->count);
}

static void *touch(void *argument)
{
	struct attempt *attempt = argument;

	report_thread = 1;
	guest_read(&attempt->guest, 1, false);
	report_line("SERVED");
	_exit(EXIT_SERVED);
}

int run_hostile(const struct run *run)
{
	static struct attempt attempt;
	pthread_t thread;

	attempt = (struct attempt){.run = run, .text = malloc(ENDLESS)};
	if (!attempt.text)
		report_setup(errno, "malloc");
	report_catch_poison();
	guest_create(&attempt.guest, &run->memory, run->image, run->pattern);

	/* What is sent may lie about the memory; what is touched is the memory. */
	struct memory truth = attempt.guest.memory;

	attempt.socket = handover_connect(run->socket);
	attempt_add(&attempt, truth.uffd);
	attempt_retell(&attempt);
	prepare(&attempt, run->hostile);
	send_all(&attempt);
	attempt.guest.memory = truth;
	if (!attempt.untaken && pthread_create(&thread, NULL, touch, &attempt))
		report_setup(errno, "pthread_create");

	uint64_t end = report_now() + run->patience * 1000000000ull;
	struct pollfd hang_up = {.fd = attempt.length == 0 ? attempt.socket : -1};

	/* The deadline of the outcome that must not be: the handler's SIGKILL ends this. Who has
	 * sent nothing is not to be killed, but must not be left to believe that it is served. */
	while (report_now() < end)
		if (poll(&hang_up, 1, (int)((end - report_now()) / 1000000) + 1) > 0)
			report_refused(EPIPE, "before anything was sent");
	report_line("FROZEN");
	return EXIT_FROZEN;
}
