/*
 * uffd-firecracker - behaves towards the handler of its page faults as Firecracker does, in each of
 * its releases, and knows every byte that its guest's memory must hold. There is no guest: threads
 * stand in for the vCPUs.
 *
 * stdout has one line for each thing that happens, `WORD key=value ...`; the last one is `ok ...`,
 * `FAIL ...` or `SETUP ...`. Exit codes: report.h, and 64 for wrong usage.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arguments.h"
#include "image.h"
#include "report.h"
#include "run.h"

static const char usage[] =
	"usage: uffd-firecracker run --socket PATH --image FILE [OPTION...]\n"
	"         hands a guest's memory over and touches all of its pages once\n"
	"       uffd-firecracker load --socket PATH --image FILE [--seconds N] [OPTION...]\n"
	"         reads, writes and gives up memory for that long, or until SIGTERM\n"
	"       uffd-firecracker script --socket PATH --image FILE [OPTION...]\n"
	"         does what standard input says: read PAGE, write PAGE, remove PAGE COUNT, plug "
	"SLOT\n"
	"       uffd-firecracker hostile KIND --socket PATH --image FILE [OPTION...]\n"
	"         hands over what nobody can serve; exit code 1 wrong bytes, 2 served, 3 frozen,\n"
	"         4 hung up on before anything was sent; else being killed is what must happen\n"
	"       uffd-firecracker clones --clones N --socket PATH --image FILE [OPTION...]\n"
	"         so many processes restore the same snapshot at the same time\n"
	"       uffd-firecracker make-image FILE --length BYTES [--holes N] [--tail BYTES]\n"
	"       uffd-firecracker drop-cache FILE   out of the page cache; tells how much stays\n"
	"       uffd-firecracker list-hostile\n"
	"options: --image FILE        what the memory must hold: the memory file or a copy of it\n"
	"         --pattern           the image is a benchmark's: it is not read for comparison\n"
	"         --version V         1.1 to 1.14 and 2.0; default 1.14\n"
	"         --regions N         the memory is in so many pieces, default 2\n"
	"         --virtio-mem BYTES  the last so many bytes are a hot-plug region; load plugs\n"
	"         --huge              hugetlb pages of 2 MiB     --transparent  MADV_HUGEPAGE\n"
	"         --fork              MISSING|WP and WP_ASYNC as a known fork has it;\n"
	"         --sync-wp  without WP_ASYNC    --memfd  with its memory in a memfd\n"
	"         --balloon  --reporting  --storm (of reports)  --unknown-keys  --quick  --hold\n"
	"         --threads N  --device-pages N  --touch PAGES  --touch-run PAGES  --pace US\n"
	"         --send-pace US (byte by byte)  --patience SECONDS  --seed N\n";

enum option_id {
	OPTION_SOCKET = 1,
	OPTION_IMAGE,
	OPTION_PATTERN,
	OPTION_VERSION,
	OPTION_REGIONS,
	OPTION_HOTPLUG,
	OPTION_HUGE,
	OPTION_TRANSPARENT,
	OPTION_FORK,
	OPTION_SYNC_WP,
	OPTION_MEMFD,
	OPTION_BALLOON,
	OPTION_REPORTING,
	OPTION_STORM,
	OPTION_UNKNOWN_KEYS,
	OPTION_QUICK,
	OPTION_HOLD,
	OPTION_THREADS,
	OPTION_DEVICE_PAGES,
	OPTION_TOUCH,
	OPTION_TOUCH_RUN,
	OPTION_PACE,
	OPTION_SEND_PACE,
	OPTION_PATIENCE,
	OPTION_SEED,
	OPTION_SECONDS,
	OPTION_CLONES,
	OPTION_LENGTH,
	OPTION_HOLES,
	OPTION_TAIL,
};

static const struct option names[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"image", required_argument, NULL, OPTION_IMAGE},
	{"pattern", no_argument, NULL, OPTION_PATTERN},
	{"version", required_argument, NULL, OPTION_VERSION},
	{"regions", required_argument, NULL, OPTION_REGIONS},
	{"virtio-mem", required_argument, NULL, OPTION_HOTPLUG},
	{"huge", no_argument, NULL, OPTION_HUGE},
	{"transparent", no_argument, NULL, OPTION_TRANSPARENT},
	{"fork", no_argument, NULL, OPTION_FORK},
	{"sync-wp", no_argument, NULL, OPTION_SYNC_WP},
	{"memfd", no_argument, NULL, OPTION_MEMFD},
	{"balloon", no_argument, NULL, OPTION_BALLOON},
	{"reporting", no_argument, NULL, OPTION_REPORTING},
	{"storm", no_argument, NULL, OPTION_STORM},
	{"unknown-keys", no_argument, NULL, OPTION_UNKNOWN_KEYS},
	{"quick", no_argument, NULL, OPTION_QUICK},
	{"hold", no_argument, NULL, OPTION_HOLD},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"device-pages", required_argument, NULL, OPTION_DEVICE_PAGES},
	{"touch", required_argument, NULL, OPTION_TOUCH},
	{"touch-run", required_argument, NULL, OPTION_TOUCH_RUN},
	{"pace", required_argument, NULL, OPTION_PACE},
	{"send-pace", required_argument, NULL, OPTION_SEND_PACE},
	{"patience", required_argument, NULL, OPTION_PATIENCE},
	{"seed", required_argument, NULL, OPTION_SEED},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"clones", required_argument, NULL, OPTION_CLONES},
	{"length", required_argument, NULL, OPTION_LENGTH},
	{"holes", required_argument, NULL, OPTION_HOLES},
	{"tail", required_argument, NULL, OPTION_TAIL},
	{0},
};

/* Options of make-image; the others are in struct run. */
struct making {
	uint64_t holes;
	uint64_t tail;
};

static bool set_memory(struct memory_options *memory, int option)
{
	switch (option) {
	case OPTION_VERSION:
		memory->version = version_named(optarg);
		if (!memory->version)
			usage_error("--version is 1.1 to 1.14 or 2.0");
		return true;
	case OPTION_REGIONS:
		memory->regions = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_HOTPLUG:
		memory->hotplug = parse_number(optarg);
		return true;
	case OPTION_HUGE:
		memory->huge = true;
		return true;
	case OPTION_TRANSPARENT:
		memory->transparent = true;
		return true;
	case OPTION_FORK:
		memory->fork = true;
		return true;
	case OPTION_SYNC_WP:
		memory->fork = memory->sync_wp = true;
		return true;
	case OPTION_MEMFD:
		memory->fork = memory->memfd = true;
		return true;
	case OPTION_BALLOON:
		memory->balloon = true;
		return true;
	case OPTION_LENGTH:
		memory->length = parse_number(optarg);
		return true;
	}
	return false;
}

static bool set_run(struct run *run, int option)
{
	switch (option) {
	case OPTION_SOCKET:
		run->socket = optarg;
		return true;
	case OPTION_IMAGE:
		run->image = optarg;
		return true;
	case OPTION_PATTERN:
		run->pattern = true;
		return true;
	case OPTION_REPORTING:
		run->reporting = true;
		return true;
	case OPTION_STORM:
		run->reporting = run->storm = true;
		return true;
	case OPTION_UNKNOWN_KEYS:
		run->unknown_keys = true;
		return true;
	case OPTION_QUICK:
		run->quick = true;
		return true;
	case OPTION_HOLD:
		run->hold = true;
		return true;
	case OPTION_THREADS:
		run->threads = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_DEVICE_PAGES:
		run->device_pages = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_TOUCH:
		run->touch = parse_number(optarg);
		return true;
	case OPTION_TOUCH_RUN:
		run->touch_run = parse_number(optarg);
		return true;
	case OPTION_PACE:
		run->pace = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_SEND_PACE:
		run->send_pace = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_PATIENCE:
		run->patience = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_SEED:
		run->seed = parse_number(optarg);
		return true;
	case OPTION_SECONDS:
		run->seconds = (unsigned int)parse_number(optarg);
		return true;
	case OPTION_CLONES:
		run->clones = (unsigned int)parse_number(optarg);
		return true;
	}
	return false;
}

static void check_ranges(const struct run *run)
{
	if (run->threads == 0 || run->threads > MAX_THREADS - 4)
		usage_error("--threads is 1 to 60");
	if (run->memory.regions == 0 || run->memory.regions >= MAX_REGIONS)
		usage_error("--regions is 1 to 7");
	if (run->pace > 999999 || run->send_pace > 999999)
		usage_error("a pace is less than a second");
	if (run->touch_run == 0 || run->clones == 0)
		usage_error("a count of 0");
}

/* The guest is as large as its memory file, of which the end may be the hot-plug region. */
static void take_length(struct run *run)
{
	struct stat status;

	if (!run->socket || !run->image)
		usage_error("--socket and --image are needed");
	if (run->memory.length > 0)
		return;
	if (stat(run->image, &status) < 0)
		report_setup(errno, "%s", run->image);
	if ((uint64_t)status.st_size <= run->memory.hotplug)
		usage_error("the image is not larger than --virtio-mem");
	run->memory.length = (uint64_t)status.st_size - run->memory.hotplug;
}

static int make_image(const struct run *run, const struct making *making, const char *path)
{
	int error = image_make(path, run->memory.length, making->holes, making->tail);

	if (error)
		fprintf(stderr, "%s: %s\n", path, strerror(error));
	return error != 0;
}

static int drop_cache(const char *path)
{
	uint64_t left = 0;
	int error = image_drop_cache(path, &left);

	if (error)
		fprintf(stderr, "%s: %s\n", path, strerror(error));
	else
		report_line("dropped left=%lu", left);
	return error != 0;
}

int main(int argc, char **argv)
{
	struct run run = {
		.memory = {.version = version_named("1.14"), .regions = 2},
		.threads = 2,
		.device_pages = 16,
		.touch_run = 1,
		.patience = 60,
		.seed = 1,
		.clones = 1,
	};
	struct making making = {0};
	int option;

	arguments_begin("uffd-firecracker", usage);
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == OPTION_HOLES)
			making.holes = parse_number(optarg);
		else if (option == OPTION_TAIL)
			making.tail = parse_number(optarg);
		else if (!set_memory(&run.memory, option) && !set_run(&run, option))
			usage_error("wrong usage");
	}
	const char *mode = optind < argc ? argv[optind] : "";
	const char *argument = optind + 1 < argc ? argv[optind + 1] : NULL;
	int positional = argc - optind;

	check_ranges(&run);
	if (strcmp(mode, "make-image") == 0 && positional == 2)
		return make_image(&run, &making, argument);
	if (strcmp(mode, "drop-cache") == 0 && positional == 2)
		return drop_cache(argument);
	if (strcmp(mode, "list-hostile") == 0 && positional == 1) {
		run_list_hostile();
		return 0;
	}
	take_length(&run);
	if (strcmp(mode, "hostile") == 0 && positional == 2) {
		run.hostile = argument;
		return run_hostile(&run);
	}
	if (positional != 1)
		usage_error("one mode is wanted");
	if (strcmp(mode, "script") == 0)
		return run_script(&run);
	if (strcmp(mode, "clones") == 0)
		return run_clones(&run);
	run.load = strcmp(mode, "load") == 0;
	if (!run.load && strcmp(mode, "run") != 0)
		usage_error("no such mode");
	return run_guest(&run);
}
