/*
 * script.c - a guest that does what standard input says, each command on a thread of its own, so
 * that a test can put them into the order that it wants to see served:
 *
 *   read PAGE | write PAGE | remove PAGE COUNT | plug SLOT
 *
 * Each is answered by "begun ID tid=" at once and "done ID" when it is over. The end of the input
 * waits for all, and looks at everything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "handover.h"
#include "report.h"
#include "run.h"
#include "scan.h"

#define MAX_COMMANDS (MAX_THREADS - 1)

struct command {
	pthread_t thread;
	unsigned int number;
	struct guest *guest;
	char verb[16];
	uint64_t page;
	uint64_t count;
};

static void *obey(void *argument)
{
	struct command *command = argument;

	report_thread = command->number;
	report_line("begun %u tid=%d", command->number, gettid());
	if (strcmp(command->verb, "read") == 0)
		guest_read(command->guest, command->page, false);
	else if (strcmp(command->verb, "write") == 0)
		guest_write(command->guest, command->page);
	else if (strcmp(command->verb, "remove") == 0)
		guest_give_up(command->guest, command->page, command->count);
	else if (strcmp(command->verb, "plug") == 0)
		guest_toggle_slot(command->guest, (unsigned int)command->page);
	else
		report_setup(0, "no command \"%s\"", command->verb);
	report_line("done %u", command->number);
	return NULL;
}

int run_script(const struct run *run)
{
	static struct guest guest;
	static struct command commands[MAX_COMMANDS];
	unsigned int count = 0;
	char line[128];

	report_catch_poison();
	guest_create(&guest, &run->memory, run->image, run->pattern);
	handover(run->socket, &guest.memory, run->memory.version, run->unknown_keys,
		 run->send_pace);
	while (fgets(line, sizeof(line), stdin)) {
		struct command *command = &commands[count++];

		if (count > MAX_COMMANDS)
			report_setup(0, "more than %u commands", MAX_COMMANDS);
		*command = (struct command){.number = count, .guest = &guest, .count = 1};
		if (sscanf(line, "%15s %lu %lu", command->verb, &command->page, &command->count) <
			    2 ||
		    command->page >= guest.pages)
			report_setup(0, "cannot obey \"%s\"", line);
		if (pthread_create(&command->thread, NULL, obey, command))
			report_setup(errno, "pthread_create");
	}
	for (unsigned int i = 0; i < count; i++)
		scan_join(commands[i].thread, run->patience);
	scan_everything(run, &guest);
	report_line("ok reads=%lu raced=%lu", guest.reads, guest.raced);
	return 0;
}
