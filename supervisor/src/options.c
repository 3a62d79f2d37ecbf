#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include "clock.h"
#include "log.h"
#include "options.h"
#include "store.h"

#define VERSION "0.1.0"
#define TEN_YEARS (10 * 365 * 86400.0)

static const char usage[] =
	"Usage: uffd-supervise [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"Run COMMAND, keep descriptors for it, and start it again when it ends unexpectedly.\n"
	"\n"
	"  --listen=NAME:TYPE:PATH[:MODE[:GROUP]]\n"
	"                        bind a socket, and pass it on by this name; TYPE is seqpacket or\n"
	"                        stream, PATH may be @abstract, MODE is octal (default 0660)\n"
	"  --store-max=N         keep at most N descriptors (default 65536)\n"
	"  --watchdog=SECONDS    end COMMAND if it is silent for so long (default 0: never)\n"
	"  --start-timeout=SECONDS  end COMMAND if it is not ready by then (default 60, 0: never)\n"
	"  --stop-timeout=SECONDS   kill COMMAND if it has not ended by then (default 30)\n"
	"  --abort-timeout=SECONDS  time between SIGABRT and SIGKILL (default 0: SIGKILL)\n"
	"  --backoff-max=SECONDS    longest wait between restarts (default 5, 0: always at once)\n"
	"  --stable=SECONDS      a life that long makes the next restart immediate (default 10)\n"
	"  --no-restart-on=LIST  exit codes after which COMMAND is not started again\n"
	"                        (default 64,71,77,78)\n"
	"  --on-give-up=HOW      what then happens to kept userfaultfds: kill (their processes,\n"
	"                        the default) or keep (them, until SIGUSR2 or SIGTERM)\n"
	"  --ready-file=PATH     a file that exists while COMMAND is ready\n"
	"  --notify-socket=PATH  default: an abstract socket with a random name\n"
	"  --subreaper           adopt orphans although this is not PID 1\n"
	"  --verbose             log every descriptor and status text\n"
	"  --version, --help\n"
	"\n"
	"Signals: SIGTERM, SIGINT, SIGQUIT stop COMMAND (by SIGINT) and end; SIGUSR2 restarts it\n"
	"(by SIGTERM); SIGHUP and SIGUSR1 are passed on.\n"
	"Exit status: that of COMMAND, 128+N if signal N ended it; 64 wrong usage, 69 COMMAND "
	"cannot\n"
	"be run, 71 system error, 73 a socket cannot be created.\n";

static _Noreturn void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, NAME ": ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nTry '" NAME " --help'.\n");
	exit(EX_USAGE);
}

static uint64_t parse_seconds(const char *option, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= TEN_YEARS))
		fail("--%s is a number of seconds, not '%s'", option, text);
	/* What somebody sets is never mistaken for "none". */
	if (seconds > 0 && seconds * SECOND < 1)
		return 1;
	return (uint64_t)(seconds * SECOND);
}

static unsigned long parse_number(const char *option, const char *text, unsigned long maximum)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || number > maximum)
		fail("--%s is a number from 0 to %lu, not '%s'", option, maximum, text);
	return number;
}

static void parse_codes(struct options *options, char *list)
{
	memset(options->no_restart_on, 0, sizeof(options->no_restart_on));
	for (char *code = strtok(list, ","); code; code = strtok(NULL, ","))
		options->no_restart_on[parse_number("no-restart-on", code, 255)] = true;
}

static gid_t parse_group(const char *text)
{
	struct group *group = getgrnam(text);
	unsigned long number;
	char *end;

	if (group)
		return group->gr_gid;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || number >= UINT32_MAX)
		fail("--listen: there is no group '%s'", text);
	return (gid_t)number;
}

static void parse_listen(struct options *options, char *text)
{
	struct listen_option *listen = &options->listen[options->listen_count];
	char *rest = text;
	char *type, *mode, *group, *end;

	if (options->listen_count == MAX_LISTEN)
		fail("--listen can be given %d times", MAX_LISTEN);
	listen->name = strsep(&rest, ":");
	type = strsep(&rest, ":");
	listen->path = strsep(&rest, ":");
	mode = strsep(&rest, ":");
	group = strsep(&rest, ":");
	if (!listen->path || rest)
		fail("--listen is NAME:TYPE:PATH[:MODE[:GROUP]]");
	if (!store_name_is_valid(listen->name))
		fail("--listen: the name '%s' is not 1 to %d printable characters", listen->name,
		     STORE_NAME_MAX);
	if (strcmp(type, "seqpacket") == 0)
		listen->type = SOCK_SEQPACKET;
	else if (strcmp(type, "stream") == 0)
		listen->type = SOCK_STREAM;
	else
		fail("--listen: the type is seqpacket or stream, not '%s'", type);
	if ((listen->path[0] != '/' && listen->path[0] != '@') || !listen->path[1])
		fail("--listen: the path '%s' is neither absolute nor @abstract", listen->path);
	listen->mode = 0660;
	if (mode && *mode) {
		unsigned long bits = strtoul(mode, &end, 8);

		if (*mode < '0' || *mode > '7' || *end || bits > 0777)
			fail("--listen: the mode is octal, at most 0777, not '%s'", mode);
		listen->mode = (mode_t)bits;
	}
	listen->group = group && *group ? parse_group(group) : (gid_t)-1;
	options->listen_count++;
}

enum {
	LISTEN = 256,
	STORE_MAX,
	WATCHDOG,
	START_TIMEOUT,
	STOP_TIMEOUT,
	ABORT_TIMEOUT,
	BACKOFF_MAX,
	STABLE,
	NO_RESTART_ON,
	ON_GIVE_UP,
	READY_FILE,
	NOTIFY_SOCKET,
	SUBREAPER,
	VERBOSE,
	SHOW_VERSION,
	HELP,
};

static void take(struct options *options, int option)
{
	switch (option) {
	case LISTEN:
		parse_listen(options, optarg);
		break;
	case STORE_MAX:
		options->store_max = parse_number("store-max", optarg, STORE_LIMIT);
		break;
	case WATCHDOG:
		options->watchdog = parse_seconds("watchdog", optarg);
		break;
	case START_TIMEOUT:
		options->start_timeout = parse_seconds("start-timeout", optarg);
		break;
	case STOP_TIMEOUT:
		options->stop_timeout = parse_seconds("stop-timeout", optarg);
		break;
	case ABORT_TIMEOUT:
		options->abort_timeout = parse_seconds("abort-timeout", optarg);
		break;
	case BACKOFF_MAX:
		options->backoff_max = parse_seconds("backoff-max", optarg);
		break;
	case STABLE:
		options->stable = parse_seconds("stable", optarg);
		break;
	case NO_RESTART_ON:
		parse_codes(options, optarg);
		break;
	case ON_GIVE_UP:
		if (strcmp(optarg, "kill") != 0 && strcmp(optarg, "keep") != 0)
			fail("--on-give-up is kill or keep, not '%s'", optarg);
		options->keep_on_give_up = strcmp(optarg, "keep") == 0;
		break;
	case READY_FILE:
		options->ready_file = optarg;
		break;
	case NOTIFY_SOCKET:
		if ((optarg[0] != '/' && optarg[0] != '@') || !optarg[1])
			fail("--notify-socket: '%s' is neither absolute nor @abstract", optarg);
		options->notify_socket = optarg;
		break;
	case SUBREAPER:
		options->subreaper = true;
		break;
	case VERBOSE:
		log_is_verbose = true;
		break;
	case SHOW_VERSION:
		puts(NAME " " VERSION);
		exit(EX_OK);
	case HELP:
		fputs(usage, stdout);
		exit(EX_OK);
	default: /* getopt_long has said what */
		fprintf(stderr, "Try '" NAME " --help'.\n");
		exit(EX_USAGE);
	}
}

struct options options_parse(int count, char **arguments)
{
	static const struct option known[] = {
		{"listen", required_argument, NULL, LISTEN},
		{"store-max", required_argument, NULL, STORE_MAX},
		{"watchdog", required_argument, NULL, WATCHDOG},
		{"start-timeout", required_argument, NULL, START_TIMEOUT},
		{"stop-timeout", required_argument, NULL, STOP_TIMEOUT},
		{"abort-timeout", required_argument, NULL, ABORT_TIMEOUT},
		{"backoff-max", required_argument, NULL, BACKOFF_MAX},
		{"stable", required_argument, NULL, STABLE},
		{"no-restart-on", required_argument, NULL, NO_RESTART_ON},
		{"on-give-up", required_argument, NULL, ON_GIVE_UP},
		{"ready-file", required_argument, NULL, READY_FILE},
		{"notify-socket", required_argument, NULL, NOTIFY_SOCKET},
		{"subreaper", no_argument, NULL, SUBREAPER},
		{"verbose", no_argument, NULL, VERBOSE},
		{"version", no_argument, NULL, SHOW_VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	struct options options = {
		.start_timeout = 60 * SECOND,
		.stop_timeout = 30 * SECOND,
		.backoff_max = 5 * SECOND,
		.stable = 10 * SECOND,
		.store_max = 65536,
		.no_restart_on = {[EX_USAGE] = true,
				  [EX_OSERR] = true,
				  [EX_NOPERM] = true,
				  [EX_CONFIG] = true},
	};
	int option;

	/* '+': the first argument that is no option is the command. */
	while ((option = getopt_long(count, arguments, "+", known, NULL)) != -1)
		take(&options, option);
	if (optind == count)
		fail("no command given");
	options.command = arguments + optind;
	return options;
}
