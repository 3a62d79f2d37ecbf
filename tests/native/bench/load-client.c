/*
 * load-client.c - makes page faults and measures how a handler serves them. The same code loads the
 * manager and the reference handler; only the hand-over differs (session.c).
 *
 * Exit code 0 and one JSON line on stdout, or the reason on stderr and 1 (64 for wrong usage).
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "image.h"
#include "modes.h"

static const char usage[] =
	"usage: uffd-bench-client MODE --socket PATH [OPTION...]\n"
	"       uffd-bench-client make-image --image FILE --length BYTES\n"
	"modes: latency      one thread touches the pages of a fresh range in random order\n"
	"       throughput   --clients processes of --threads threads share --faults\n"
	"       populate     the handler fills --length bytes, nobody touches them\n"
	"       scattered    --faults pages in small pieces all over --length bytes, by --seed;\n"
	"                    with --evict the image leaves the page cache first\n"
	"       idle         --clients processes open a session, touch one page each, wait for\n"
	"                    the end of stdin\n"
	"       clones       the same, each with --length bytes of which it touches --faults "
	"pages and\n"
	"                    then writes --writes\n"
	"       register     --repeat times: register and unregister --length reserved bytes\n"
	"       writers      --threads write --length bytes, a page every --pace ns, between two "
	"lines of input\n"
	"                    it is measured how long\n"
	"       forked       the same without a handler, while a forked child writes it to "
	"--image\n"
	"options: --protocol native|reference  --policy NAME  --source policy|file|memfd|map\n"
	"         --image FILE  --zero  --no-verify  --cpu N  --faults N  --clients N\n"
	"         --threads N  --length BYTES  --repeat N  --seed N  --evict\n"
	"         --writes N  --pace NS\n";

void client_die(int error, const char *what)
{
	fprintf(stderr, "uffd-bench-client: %s%s%s\n", what, error ? ": " : "",
		error ? strerror(error) : "");
	exit(1);
}

static enum source source_named(const char *name)
{
	if (strcmp(name, "policy") == 0)
		return SOURCE_POLICY;
	if (strcmp(name, "file") == 0)
		return SOURCE_FILE;
	if (strcmp(name, "memfd") == 0)
		return SOURCE_MEMFD;
	if (strcmp(name, "map") == 0)
		return SOURCE_MAP;
	usage_error("--source is policy, file, memfd or map");
}

static enum protocol protocol_named(const char *name)
{
	if (strcmp(name, "native") == 0)
		return PROTOCOL_NATIVE;
	if (strcmp(name, "reference") == 0)
		return PROTOCOL_REFERENCE;
	usage_error("--protocol is native or reference");
}

static struct run parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"protocol", required_argument, NULL, 'p'},
		{"policy", required_argument, NULL, 'P'},
		{"source", required_argument, NULL, 'S'},
		{"image", required_argument, NULL, 'i'},
		{"zero", no_argument, NULL, 'z'},
		{"no-verify", no_argument, NULL, 'V'},
		{"cpu", required_argument, NULL, 'c'},
		{"faults", required_argument, NULL, 'f'},
		{"clients", required_argument, NULL, 'n'},
		{"threads", required_argument, NULL, 't'},
		{"length", required_argument, NULL, 'l'},
		{"repeat", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 'e'},
		{"evict", no_argument, NULL, 'E'},
		{"writes", required_argument, NULL, 'w'},
		{"pace", required_argument, NULL, 'a'},
		{0},
	};
	struct run run = {
		.session = {.policy = ""},
		.verify = true,
		.cpu = -1,
		.faults = 16384,
		.clients = 1,
		.threads = 1,
		.length = 1ul << 30,
		.repeat = 1,
		.pace = 100000,
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			run.session.socket_path = optarg;
			break;
		case 'p':
			run.session.protocol = protocol_named(optarg);
			break;
		case 'P':
			run.session.policy = optarg;
			break;
		case 'S':
			run.source = source_named(optarg);
			break;
		case 'i':
			run.image_path = optarg;
			break;
		case 'z':
			run.expect_zero = true;
			break;
		case 'V':
			run.verify = false;
			break;
		case 'c':
			run.cpu = (int)parse_number(optarg);
			break;
		case 'f':
			run.faults = parse_number(optarg);
			break;
		case 'n':
			run.clients = (unsigned int)parse_number(optarg);
			break;
		case 't':
			run.threads = (unsigned int)parse_number(optarg);
			break;
		case 'l':
			run.length = parse_number(optarg);
			break;
		case 'r':
			run.repeat = (unsigned int)parse_number(optarg);
			break;
		case 'e':
			run.seed = parse_number(optarg);
			break;
		case 'E':
			run.evict = true;
			break;
		case 'w':
			run.writes = parse_number(optarg);
			break;
		case 'a':
			run.pace = parse_number(optarg);
			break;
		default:
			usage_error("wrong usage");
		}
	}
	if (optind != argc - 1)
		usage_error("one mode is wanted");
	if (run.clients == 0 || run.threads == 0 || run.repeat == 0 || run.faults == 0)
		usage_error("a count of 0");
	if (run.length == 0 || run.length % BENCH_PAGE != 0)
		usage_error("--length must be a multiple of the page size");
	return run;
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		client_die(errno, "sched_setaffinity");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct run *run);
	} modes[] = {
		{"latency", mode_latency},   {"throughput", mode_throughput},
		{"populate", mode_populate}, {"idle", mode_idle},
		{"register", mode_register}, {"scattered", mode_scattered},
		{"writers", mode_writers},   {"forked", mode_forked},
		{"clones", mode_clones},
	};
	arguments_begin("uffd-bench-client", usage);

	struct run run = parse(argc, argv);
	const char *mode = argv[optind];

	if (strcmp(mode, "make-image") == 0) {
		if (!run.image_path)
			usage_error("make-image needs --image");
		int error = image_create(run.image_path, run.length);

		if (error)
			client_die(error, run.image_path);
		return 0;
	}
	if (!run.session.socket_path && strcmp(mode, "forked") != 0)
		usage_error("--socket is missing");
	if (strcmp(mode, "forked") == 0 && !run.image_path)
		usage_error("forked needs --image, the file that the child writes");
	if ((run.source == SOURCE_FILE || run.source == SOURCE_MAP || run.evict) && !run.image_path)
		usage_error("--source file, --source map and --evict need --image");
	if (run.source == SOURCE_MAP && run.session.protocol != PROTOCOL_NATIVE)
		usage_error("--source map is the manager's");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(mode, modes[i].name) == 0) {
			pin(run.cpu);
			return modes[i].run(&run);
		}
	}
	usage_error("no such mode");
}
