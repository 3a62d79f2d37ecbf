/*
 * uffd-model - a program that does random things to memory that the manager serves, and knows at
 * every moment what each page must contain.
 *
 * Exit code 0 with a last line "ok ...", 1 with a line "FAIL seed=N ..." behind the last operations
 * of each worker, 64 for wrong usage.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "page.h"
#include "record.h"
#include "region.h"
#include "watch.h"
#include "work.h"

static const char usage[] =
	"usage: uffd-model --socket PATH --region KEY=VALUE,... [--region ...] [OPTION...]\n"
	"         orders come by stdin (command.h); its end, or `finish`: everything is checked\n"
	"regions: kind=anonymous|private|shared|huge  pages=N  offset=BYTES (in the source)\n"
	"         file=PATH (handed over) or name=PATH|image:NAME (told), expects=PATH (a file\n"
	"         with the same contents), policy=NAME  remove=zero|source  protect=1\n"
	"         owner=N (a worker; without it the pages belong to the workers in turn)\n"
	"options: --seed N  --workers N (1 to 4)  --policy NAME  --patience SECONDS  --forks\n"
	"         --pace MICROSECONDS\n";

static enum kind kind_named(const char *name)
{
	static const char *const names[KINDS] = {"anonymous", "private", "shared", "huge"};

	for (unsigned int kind = 0; kind < KINDS; kind++)
		if (strcmp(name, names[kind]) == 0)
			return (enum kind)kind;
	usage_error(name);
}

static struct shape parse_region(char *text)
{
	enum { KIND, PAGES, OFFSET, FILE_PATH, NAME, EXPECTS, POLICY, REMOVE, PROTECT, OWNER };
	static char *const keys[] = {"kind",   "pages",	 "offset",  "file",  "name", "expects",
				     "policy", "remove", "protect", "owner", NULL};
	struct shape shape = {.pages = 64, .owner = EVERYBODY, .policy = ""};
	char *value;

	while (*text) {
		int key = getsubopt(&text, keys, &value);

		if (!value)
			usage_error("a region's key has no value");
		switch (key) {
		case KIND:
			shape.kind = kind_named(value);
			break;
		case PAGES:
			shape.pages = parse_number(value);
			break;
		case OFFSET:
			shape.offset = parse_number(value);
			break;
		case FILE_PATH:
			shape.file = value;
			break;
		case NAME:
			shape.name = value;
			break;
		case EXPECTS:
			shape.expects = value;
			break;
		case POLICY:
			shape.policy = value;
			break;
		case REMOVE:
			shape.remove_source = strcmp(value, "source") == 0;
			break;
		case PROTECT:
			shape.protect = parse_number(value) != 0;
			break;
		case OWNER:
			shape.owner = (unsigned int)parse_number(value);
			break;
		default:
			usage_error(value);
		}
	}
	/* What an object contains is what its pages come from. */
	if (shape.kind == KIND_PRIVATE || shape.kind == KIND_SHARED)
		shape.remove_source = true;
	if (shape.pages == 0 || ((shape.file || shape.name) && !shape.expects))
		usage_error("a region needs pages, and with a source what to expect");
	return shape;
}

static struct shape shapes[MAX_REGIONS];
static unsigned int shape_count;
static unsigned int patience = 60;
static unsigned int pace;
static bool forks;

static void parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"region", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 'e'},
		{"workers", required_argument, NULL, 'w'},
		{"policy", required_argument, NULL, 'P'},
		{"patience", required_argument, NULL, 'p'},
		{"pace", required_argument, NULL, 'u'},
		{"forks", no_argument, NULL, 'f'},
		{0},
	};
	int option;

	model.link.policy = "";
	model.workers = 2;
	model.seed = 1;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			model.link.path = optarg;
			break;
		case 'r':
			if (shape_count == MAX_REGIONS)
				usage_error("too many regions");
			shapes[shape_count++] = parse_region(optarg);
			break;
		case 'e':
			model.seed = parse_number(optarg);
			break;
		case 'w':
			model.workers = (unsigned int)parse_number(optarg);
			break;
		case 'P':
			model.link.policy = optarg;
			break;
		case 'p':
			patience = (unsigned int)parse_number(optarg);
			break;
		case 'u':
			pace = (unsigned int)parse_number(optarg);
			break;
		case 'f':
			forks = true;
			break;
		default:
			usage_error("wrong usage");
		}
	}
	if (!model.link.path || optind != argc)
		usage_error("--socket is needed, and nothing else");
	if (model.workers == 0 || model.workers > MAX_WORKERS)
		usage_error("--workers is 1 to 4");
	bool everybody = false;

	for (unsigned int i = 0; i < shape_count; i++) {
		everybody |= shapes[i].owner == EVERYBODY;
		if (shapes[i].owner == EVERYBODY ? shapes[i].pages < model.workers
						 : shapes[i].owner >= model.workers)
			usage_error("a region has no owner, or too few pages for its owners");
	}
	if (!everybody)
		usage_error("a region that belongs to everybody is needed");
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	watch_fail_by_signal(info);
}

static void set_up(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	watch_create(model.seed);
	watch_before_failing = work_report;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	model.link.label = "model";
	model.link.patience = patience;
	link_open(&model.link);
	if (forks)
		region_create_mailbox();
	for (; model.regions < shape_count; model.regions++)
		region_create(&model.region[model.regions], &shapes[model.regions], model.regions);
	record_create();
}

int main(int argc, char **argv)
{
	arguments_begin("uffd-model", usage);
	parse(argc, argv);
	set_up();
	printf("attached session=%lu seed=%lu\n", model.link.session, model.seed);
	fflush(stdout);
	work_start(pace);
	command_run(patience);
	work_stop(patience);
	for (unsigned int i = 0; i < model.regions; i++)
		for (size_t page = 0; page < model.region[i].shape.pages; page++)
			page_check(&model.region[i], page, true, 0);
	watch_print("ok");
	return 0;
}
