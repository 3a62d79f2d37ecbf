/*
 * uffd-run: starts a program with its memory under the manager.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>
#include "config.h"
#include "program.h"

#define NAME "uffd-run"
#define VERSION "0.1.0"
#define SHIM "libuffd-shim.so"

/* As env(1), nice(1) and timeout(1) have them. */
#define EXIT_FAILED 125
#define EXIT_CANNOT_INVOKE 126
#define EXIT_NOT_FOUND 127

enum treatment { BY_REQUIREMENT, REFUSE, UNMANAGED };

struct options {
	const char *policy;
	const char *minimum;
	const char *socket;
	char *lazy;
	bool require;
	bool verbose;
	enum treatment on_static;
	enum treatment on_secure;
};

static const char usage[] =
	"Usage: uffd-run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"Run PROGRAM with its large anonymous mappings, and files below given\n"
	"directories, served by uffd-manager.\n"
	"\n"
	"  --policy=NAME        ask for this policy (default: the tenant's)\n"
	"  --require            do not run the program unmanaged: exit with 125\n"
	"  --optional           run it unmanaged if there is no way (default)\n"
	"  --min=SIZE           smallest anonymous mapping to manage (default 1M)\n"
	"  --lazy=DIRECTORY     map files below it lazily; repeatable, or colons between\n"
	"  --socket=PATH        the manager's socket (default " UFFDM_SOCKET_PATH ")\n"
	"  --static=HOW         statically linked program: refuse or unmanaged\n"
	"  --setuid=HOW         program with set-user-id or capabilities: the same\n"
	"                       (default of both: unmanaged, with --require refuse)\n"
	"  --verbose            say on standard error what was done\n"
	"  --version, --help\n"
	"\n"
	"Exit status: that of PROGRAM; 64 wrong usage, 125 uffd-run failed or refused,\n"
	"126 PROGRAM cannot be invoked, 127 PROGRAM not found.\n";

static _Noreturn void __attribute__((format(printf, 2, 3)))
fail(int status, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, NAME ": ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(status);
}

static enum treatment parse_treatment(const char *option, const char *text)
{
	if (strcmp(text, "refuse") == 0)
		return REFUSE;
	if (strcmp(text, "unmanaged") == 0)
		return UNMANAGED;
	fail(EX_USAGE, "--%s is refuse or unmanaged, not '%s'", option, text);
}

static void add_lazy(struct options *options, const char *text)
{
	char *joined;

	if (*text != '/')
		fail(EX_USAGE, "--lazy needs an absolute directory, not '%s'", text);
	if (asprintf(&joined, "%s%s%s", options->lazy ? options->lazy : "",
		     options->lazy ? ":" : "", text) < 0)
		fail(EXIT_FAILED, "%s", strerror(errno));
	free(options->lazy);
	options->lazy = joined;
}

static struct options parse(int count, char **arguments)
{
	static const struct option known[] = {
		{"policy", required_argument, NULL, 'p'}, {"require", no_argument, NULL, 'r'},
		{"optional", no_argument, NULL, 'o'},	  {"min", required_argument, NULL, 'm'},
		{"lazy", required_argument, NULL, 'l'},	  {"socket", required_argument, NULL, 's'},
		{"static", required_argument, NULL, 'S'}, {"setuid", required_argument, NULL, 'U'},
		{"verbose", no_argument, NULL, 'v'},	  {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},	  {0},
	};
	struct options options = {0};
	uint64_t size;
	int option;

	/* '+': the first argument that is no option is the program. */
	while ((option = getopt_long(count, arguments, "+", known, NULL)) != -1) {
		switch (option) {
		case 'p':
			options.policy = optarg;
			if (strlen(optarg) > UFFDM_MAX_POLICY)
				fail(EX_USAGE, "--policy has at most %u bytes", UFFDM_MAX_POLICY);
			break;
		case 'r':
			options.require = true;
			break;
		case 'o':
			options.require = false;
			break;
		case 'm':
			options.minimum = optarg;
			if (!config_parse_size(optarg, &size))
				fail(EX_USAGE,
				     "--min is a number of bytes, or of K, M or G, "
				     "not '%s'",
				     optarg);
			break;
		case 'l':
			add_lazy(&options, optarg);
			break;
		case 's':
			options.socket = optarg;
			if (strlen(optarg) >= sizeof((struct sockaddr_un){0}.sun_path))
				fail(EX_USAGE, "--socket is too long for a socket");
			break;
		case 'S':
			options.on_static = parse_treatment("static", optarg);
			break;
		case 'U':
			options.on_secure = parse_treatment("setuid", optarg);
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'V':
			puts(NAME " " VERSION);
			exit(EX_OK);
		case 'h':
			fputs(usage, stdout);
			exit(EX_OK);
		default: /* getopt_long has said what */
			fprintf(stderr, "Try '" NAME " --help'.\n");
			exit(EX_USAGE);
		}
	}
	if (optind == count)
		fail(EX_USAGE, "no program given\nTry '" NAME " --help'.");
	return options;
}

/* Where it is installed to, or where it is built. */
static void find_shim(char *path)
{
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	const char *places[] = {"/../lib/uffd-manager/" SHIM, "/" SHIM};
	char *slash;

	own[length > 0 ? length : 0] = 0;
	slash = strrchr(own, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(*places); i++) {
		char candidate[PATH_MAX * 2];

		snprintf(candidate, sizeof(candidate), "%s%s", own, places[i]);
		if (realpath(candidate, path) && access(path, R_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s", LIBDIR "/" SHIM);
	if (access(path, R_OK) != 0)
		fail(EXIT_FAILED, SHIM " is neither beside this program nor in " LIBDIR);
	/* LD_PRELOAD separates by both, and has no way to quote. */
	if (strpbrk(path, ": "))
		fail(EXIT_FAILED, "'%s' cannot be preloaded: it has a colon or a space", path);
}

static void set(const char *name, const char *value)
{
	if ((value ? setenv(name, value, 1) : unsetenv(name)) != 0)
		fail(EXIT_FAILED, "%s: %s", name, strerror(errno));
}

/* In front of what is there already. */
static void preload(const char *shim)
{
	const char *before = getenv("LD_PRELOAD");
	char *list;

	if (asprintf(&list, "%s%s%s", shim, before && *before ? ":" : "", before ? before : "") < 0)
		fail(EXIT_FAILED, "%s", strerror(errno));
	set("LD_PRELOAD", list);
	free(list);
}

/* Empty, or why no manager answers there. */
static const char *check_manager(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *reason = "";
	/* A stopped manager with a full backlog must not stop us: that is EAGAIN then. */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		reason = strerror(errno);
	if (fd >= 0)
		close(fd);
	return reason;
}

/* Whether to run a program that the shim cannot get into, after saying so. */
static void judge(const struct options *options, enum treatment treatment, const char *name,
		  const char *what)
{
	if (treatment == REFUSE || (treatment == BY_REQUIREMENT && options->require))
		fail(EXIT_FAILED, "%s: %s, which cannot be managed: refused", name, what);
	if (options->verbose)
		fprintf(stderr, NAME ": %s: %s: runs unmanaged\n", name, what);
}

static void export_options(const struct options *options)
{
	set("UFFD_MANAGER_SOCKET", options->socket);
	set("UFFD_MANAGER_POLICY", options->policy);
	set("UFFD_MANAGER_MIN", options->minimum);
	set("UFFD_MANAGER_LAZY", options->lazy);
	set("UFFD_MANAGER_REQUIRE", options->require ? "1" : NULL);
	set("UFFD_MANAGER_VERBOSE", options->verbose ? "1" : NULL);
}

int main(int count, char **arguments)
{
	struct options options = parse(count, arguments);
	const char *name = arguments[optind];
	struct program program;
	char shim[PATH_MAX];
	const char *reason;
	int error;

	if (!options.socket)
		options.socket = getenv("UFFD_MANAGER_SOCKET");
	if (!options.socket || !*options.socket)
		options.socket = UFFDM_SOCKET_PATH;
	error = program_examine(name, &program);
	if (error)
		fail(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_INVOKE, "%s: %s", name,
		     strerror(error));
	find_shim(shim);
	reason = check_manager(options.socket);
	if (program.is_secure) {
		judge(&options, options.on_secure, name, "set-user-id or has capabilities");
	} else if (program.is_static) {
		judge(&options, options.on_static, name, "statically linked");
	} else if (program.is_foreign) {
		judge(&options, BY_REQUIREMENT, name, "not a program of this machine");
	} else if (*reason) {
		if (options.require)
			fail(EXIT_FAILED, "no manager at %s: %s", options.socket, reason);
		if (options.verbose)
			fprintf(stderr, NAME ": no manager at %s: %s: runs unmanaged\n",
				options.socket, reason);
	}
	/* Also for a program that is not managed itself: those that it starts may be. But the
	 * loader of another machine's program would complain. */
	export_options(&options);
	if (!program.is_foreign)
		preload(shim);
	execvp(name, arguments + optind);
	error = errno;
	fail(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_INVOKE, "%s: %s", name,
	     strerror(error));
}
