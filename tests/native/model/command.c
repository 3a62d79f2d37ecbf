#include "command.h"

#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "record.h"
#include "region.h"
#include "track.h"
#include "watch.h"
#include "work.h"

static unsigned int patience;
static struct order standing = {.may = MAY_ALL};
static struct cut latest;
static bool sealed;

static void answer(const char *line)
{
	puts(line);
	fflush(stdout);
}

static void may(const char *words)
{
	standing.may = (strstr(words, " move") ? MAY_MOVE : 0) |
		       (strstr(words, " remove") ? MAY_REMOVE : 0);
	work_order(&standing, patience);
	answer("may ok");
}

static void begin_record(void)
{
	atomic_store(&region_keeps_addresses, true);
	standing.record = true;
	sealed = false;
	work_order(&standing, patience);
	answer("record ok");
}

/* The instant is over: what has not begun by now is not in the snapshot. */
static void seal(void)
{
	work_pause(patience);
	for (unsigned int i = 0; i < model.workers; i++)
		latest.of[i] = record[i].count;
	work_resume();
	sealed = true;
	answer("seal ok");
}

static void end_record(void)
{
	standing.record = false;
	work_order(&standing, patience);
}

static void compare(void)
{
	char line[256];
	uint64_t events = 0;
	uint64_t before = 0;

	struct cut cut = cut_find(picture_close(), &latest);

	for (unsigned int i = 0; i < model.workers; i++) {
		events += latest.of[i];
		before += cut.of[i];
	}
	atomic_store(&region_keeps_addresses, false);
	snprintf(line, sizeof(line), "compare ok events=%lu before=%lu", events, before);
	answer(line);
}

static void set_phase(uint8_t phase)
{
	work_pause(patience);
	atomic_store(&track_phase, phase);
	work_resume();
}

/* Between two operations of each worker: what was written before tracking began, and is noted here
 * only afterwards, need not be on the first list. */
static void reset(void)
{
	work_pause(patience);
	track_reset();
	work_resume();
}

static void listed(void)
{
	char line[128];
	unsigned int named;
	unsigned int idle = track_compare(&named);

	set_phase(CHANGE_BEFORE);
	track_carry();
	snprintf(line, sizeof(line), "listed ok named=%u idle=%u", named, idle);
	answer(line);
}

static void open_image(char *paths)
{
	char *base = strchr(paths, ' ');

	if (base)
		*base++ = '\0';
	if (!sealed)
		watch_fail("the test itself is wrong: the record is not sealed");
	end_record();
	picture_open(paths, base);
}

static bool follow(char *line)
{
	uint64_t start, length, offset;

	if (strncmp(line, "may", 3) == 0) {
		may(line + 3);
	} else if (strcmp(line, "record") == 0) {
		begin_record();
	} else if (strcmp(line, "seal") == 0) {
		seal();
	} else if (strncmp(line, "image ", 6) == 0) {
		open_image(line + 6);
	} else if (sscanf(line, "region %lx %lu %lu", &start, &length, &offset) == 3) {
		picture_add(start, length, offset);
	} else if (strcmp(line, "compare") == 0) {
		compare();
	} else if (strcmp(line, "drop") == 0) {
		end_record();
		atomic_store(&region_keeps_addresses, false);
		answer("drop ok");
	} else if (strcmp(line, "track") == 0) {
		reset();
		answer("track ok");
	} else if (strcmp(line, "list") == 0) {
		set_phase(CHANGE_MEANWHILE);
		answer("list ok");
	} else if (sscanf(line, "changed %lx %lu", &start, &length) == 2) {
		track_listed(start, length);
	} else if (strcmp(line, "listed") == 0) {
		listed();
	} else if (strcmp(line, "unlist") == 0) {
		set_phase(CHANGE_BEFORE);
		answer("unlist ok");
	} else if (strcmp(line, "finish") == 0) {
		return false;
	} else {
		watch_fail("no such command: %s", line);
	}
	return true;
}

void command_run(unsigned int seconds)
{
	char line[8192];

	patience = seconds;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!follow(line))
			return;
	}
}
