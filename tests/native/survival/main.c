/*
 * uffd-survival-client - a program whose memory the manager serves, and that knows every byte that
 * its memory must hold, whatever becomes of the manager meanwhile.
 *
 * Exit code 0 with a last line "ok ...", 1 with a line "FAIL seed=N ...", 64 for wrong usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "fields.h"
#include "image.h"
#include "modes.h"
#include "watch.h"

static const char usage[] =
	"usage: uffd-survival-client load --socket PATH --source FILE [OPTION...]\n"
	"         threads read, write, give up, unmap, move and fork; SIGTERM or the end of\n"
	"         --seconds: everything is checked once more\n"
	"       uffd-survival-client sessions --socket PATH --count N [--parallel N] [--source "
	"FILE]\n"
	"         processes with a session each come and go\n"
	"       uffd-survival-client crowd --socket PATH --count N [--parallel N] [--source FILE]\n"
	"         processes with a session each; for a line on stdin each touches a new page\n"
	"       uffd-survival-client make-source FILE --pages N\n"
	"options: --threads N  --fields N  --pages N (of each field)  --seconds N  --seed N\n"
	"         --kinds LETTERS   the kinds of the fields in turn: f file, z zero,\n"
	"                           p private and s shared mapping of an object, h hugetlb\n"
	"         --remove zero|source|both  what a page of a file holds that was given up\n"
	"         --fork-interval MS  --write-protect  --keeper (keep a duplicate)\n"
	"         --pace MICROSECONDS  --patience SECONDS  --policy NAME\n";

static struct run parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"source", required_argument, NULL, 'S'},
		{"policy", required_argument, NULL, 'P'},
		{"kinds", required_argument, NULL, 'k'},
		{"remove", required_argument, NULL, 'r'},
		{"threads", required_argument, NULL, 't'},
		{"fields", required_argument, NULL, 'f'},
		{"pages", required_argument, NULL, 'p'},
		{"seconds", required_argument, NULL, 'd'},
		{"patience", required_argument, NULL, 'w'},
		{"pace", required_argument, NULL, 'u'},
		{"fork-interval", required_argument, NULL, 'i'},
		{"count", required_argument, NULL, 'n'},
		{"parallel", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 'e'},
		{"keeper", no_argument, NULL, 'K'},
		{"write-protect", no_argument, NULL, 'W'},
		{0},
	};
	struct run run = {
		.policy = "",
		.kinds = "fz",
		.remove = "both",
		.threads = 2,
		.fields = 4,
		.pages = 128,
		.patience = 60,
		.count = 1,
		.parallel = 4,
		.seed = 1,
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			run.socket = optarg;
			break;
		case 'S':
			run.source = optarg;
			break;
		case 'P':
			run.policy = optarg;
			break;
		case 'k':
			run.kinds = optarg;
			break;
		case 'r':
			run.remove = optarg;
			break;
		case 't':
			run.threads = (unsigned int)parse_number(optarg);
			break;
		case 'f':
			run.fields = (unsigned int)parse_number(optarg);
			break;
		case 'p':
			run.pages = (unsigned int)parse_number(optarg);
			break;
		case 'd':
			run.seconds = (unsigned int)parse_number(optarg);
			break;
		case 'w':
			run.patience = (unsigned int)parse_number(optarg);
			break;
		case 'u':
			run.pace = (unsigned int)parse_number(optarg);
			break;
		case 'i':
			run.fork_interval = (unsigned int)parse_number(optarg);
			break;
		case 'n':
			run.count = (unsigned int)parse_number(optarg);
			break;
		case 'c':
			run.parallel = (unsigned int)parse_number(optarg);
			break;
		case 'e':
			run.seed = parse_number(optarg);
			break;
		case 'K':
			run.keeper = true;
			break;
		case 'W':
			run.protect = true;
			break;
		default:
			usage_error("wrong usage");
		}
	}
	if (run.threads == 0 || run.threads >= MAX_THREADS)
		usage_error("--threads is 1 to 63");
	if (run.fields == 0 || run.fields > MAX_FIELDS)
		usage_error("--fields is 1 to 64");
	if (run.pages == 0 || run.count == 0 || run.parallel == 0 || !*run.kinds ||
	    run.pace > 999999)
		usage_error("a value is out of range");
	return run;
}

int main(int argc, char **argv)
{
	arguments_begin("uffd-survival-client", usage);

	struct run run = parse(argc, argv);
	const char *mode = optind < argc ? argv[optind] : "";

	if (strcmp(mode, "make-source") == 0) {
		if (optind != argc - 2)
			usage_error("make-source needs a path");
		int error = image_create(argv[optind + 1], run.pages * BASE_PAGE);

		if (error)
			fprintf(stderr, "%s: %s\n", argv[optind + 1], strerror(error));
		return error != 0;
	}
	if (optind != argc - 1)
		usage_error("one mode is wanted");
	if (!run.socket)
		usage_error("--socket is missing");
	if (strcmp(mode, "load") == 0)
		return mode_load(&run);
	if (strcmp(mode, "sessions") == 0)
		return mode_sessions(&run);
	if (strcmp(mode, "crowd") == 0)
		return mode_crowd(&run);
	usage_error("no such mode");
}
