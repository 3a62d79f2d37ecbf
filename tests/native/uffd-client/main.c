/*
 * A process whose memory somebody else serves, driven by a test.
 *
 *	uffd-client SOCKET
 *
 * It connects to SOCKET (SOCK_SEQPACKET), says "hello PID" and then takes commands: one message
 * "ID THREAD COMMAND ARGUMENT...", answered by one message "ID ok VALUE...", "ID err ERRNO" or
 * "ID sig SIGNAL CODE ADDRESS" (the command ran into a SIGBUS or SIGSEGV). A descriptor travels
 * with the message that speaks of it. Numbers are taken in any base and answered in decimal. The
 * commands are in mapping.c, access.c, userfaultfd.c, descriptors.c and process.c.
 *
 * The main thread only hands commands to worker threads, which come into being when first named,
 * so that a worker which sleeps in a page fault keeps nobody else from being commanded, and the
 * end of the connection always ends the process. A forked child connects anew and is a process of
 * its own to the test.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "messages.h"

enum { MAX_WORKERS = 128 };

static const char *socket_path;
static int channel = -1;
/* Our end of each worker's command socket, 0 while there is none. */
static int workers[MAX_WORKERS];

static __thread sigjmp_buf on_signal;
static __thread volatile sig_atomic_t guarded;
static __thread siginfo_t caught;

static void die(const char *what)
{
	perror(what);
	_exit(70);
}

static void catch_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!guarded) {
		struct sigaction plain = {.sa_handler = SIG_DFL};

		sigaction(signal, &plain, NULL);
		return; /* the access repeats and kills */
	}
	caught = *info;
	siglongjmp(on_signal, 1);
}

int answer(struct context *c, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(c->reply, sizeof(c->reply), format, list);
	va_end(list);
	return 0;
}

int result(struct context *c, long value)
{
	return value == -1 ? -1 : answer(c, "%ld", value);
}

static int run_guarded(struct context *c, const struct verb *verb)
{
	int failed;

	if (sigsetjmp(on_signal, 1)) {
		guarded = 0;
		return 1;
	}
	guarded = 1;
	failed = verb->run(c);
	guarded = 0;
	return failed;
}

static const struct verb *find_verb(const char *name)
{
	static const struct verb *const all[] = {mapping_verbs, access_verbs, uffd_verbs,
						 descriptor_verbs, process_verbs};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct verb *verb = all[i]; verb->name; verb++)
			if (strcmp(verb->name, name) == 0)
				return verb;
	return NULL;
}

/* COMMAND ARGUMENT..., the id and the thread being cut off already */
static void execute(char *text, struct context *c)
{
	char line[2 * MAX_MESSAGE];
	char *save = NULL;
	char *name = strtok_r(text, " ", &save);
	int outcome;

	while (c->argc < MAX_ARGS && (c->word[c->argc] = strtok_r(NULL, " ", &save))) {
		c->arg[c->argc] = strtoull(c->word[c->argc], NULL, 0);
		c->argc++;
	}
	const struct verb *verb = name ? find_verb(name) : NULL;

	errno = ENOSYS;
	outcome = verb && c->argc >= verb->min_args ? run_guarded(c, verb) : -1;
	if (outcome == 0)
		snprintf(line, sizeof(line), "%s ok %s", c->id, c->reply);
	else if (outcome < 0)
		snprintf(line, sizeof(line), "%s err %d", c->id, errno);
	else
		snprintf(line, sizeof(line), "%s sig %d %d %lu", c->id, caught.si_signo,
			 caught.si_code, (unsigned long)caught.si_addr);
	send_message(channel, line, c->send_fd);
	if (c->fd >= 0)
		close(c->fd);
}

static void *work(void *argument)
{
	int from = (int)(intptr_t)argument;
	struct command command;

	while (receive_message(from, &command) == 0) {
		char *rest = strchr(command.text, ' ');
		struct context c = {.id = command.text, .fd = command.fd, .send_fd = -1};

		*rest = '\0';
		execute(rest + 1, &c);
	}
	return NULL;
}

static int worker(unsigned int number)
{
	pthread_t thread;
	int pair[2];

	if (number >= MAX_WORKERS)
		die("thread number");
	if (workers[number])
		return workers[number];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	if ((errno = pthread_create(&thread, NULL, work, (void *)(intptr_t)pair[1])))
		die("pthread_create");
	pthread_detach(thread);
	return workers[number] = pair[0];
}

void client_forget_parent(void)
{
	guarded = 0;
	close(channel);
	memset(workers, 0, sizeof(workers));
}

int client_exec(void)
{
	return execl("/proc/self/exe", "uffd-client", socket_path, (char *)NULL);
}

void client_serve(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct command command;
	char text[MAX_MESSAGE];

	strncpy(address.sun_path, socket_path, sizeof(address.sun_path) - 1);
	channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (channel < 0 || connect(channel, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(socket_path);
	snprintf(text, sizeof(text), "hello %d", getpid());
	send_message(channel, text, -1);
	while (receive_message(channel, &command) == 0) {
		char *thread = strchr(command.text, ' ');
		char *rest = thread ? strchr(thread + 1, ' ') : NULL;
		unsigned long number;

		if (!rest)
			die("malformed command");
		number = strtoul(thread + 1, NULL, 10);
		memmove(thread, rest, strlen(rest) + 1);
		send_message(worker((unsigned int)number), command.text, command.fd);
		if (command.fd >= 0)
			close(command.fd);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = catch_signal, .sa_flags = SA_SIGINFO};

	if (argc != 2) {
		fprintf(stderr, "usage: uffd-client SOCKET\n");
		return 64;
	}
	socket_path = argv[1];
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	client_serve();
}
