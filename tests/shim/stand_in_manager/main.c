/*
 * stand_in_manager SOCKET [FEATURES [MISHAP]] - the least that the shim needs of a manager, in one
 * thread: it gives out /dev/userfaultfd, registers, fills pages with zeros or from a file, follows
 * fork, remap and unmap, and answers mailboxes. So the shim's own tests can stop it, kill it and
 * make it say unusual things.
 *
 * MISHAP: die-at-register=N dies when it has carried out the Nth REGISTER, before it answers, and
 * die-before-register=N before it carries it out;
 * drop-wake closes the connection on which an adoption is to be ended, once, without ending it;
 * refuse-source refuses the first REGISTER of a file; peek-source reads some of its range before it
 * carries that out, as a snapshot or a debugger might, and peek-refuse-source before it refuses it;
 * fill-stub puts zeros into all of a file's stub before it carries out a REGISTER of eight pages of
 * it, once, as a look at a huge page would;
 * drop-hello closes the first connection without an answer.
 *
 * SIGHUP: prints what SIGTERM prints, and goes on.
 * SIGUSR1: sends a command from the reserved range to every connection.
 * SIGUSR2: sends GOODBYE (session ended) to every connection, unregistering nothing.
 * SIGTERM: prints "sessions=N registers=N faults=N lazy=N forks=N bound=N adopted=N
 * resumed=N refused_commands=N".
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stand_in.h"

#define AGENT_COMMAND (UFFDM_AGENT_FIRST + 1)

struct counters counters;
uint64_t next_token = 0x1234;
uint64_t allowed_features = 0x1ff;
const char *mishap = "";

static volatile sig_atomic_t wanted;

static void on_signal(int number)
{
	wanted = number;
}

void die(const char *what)
{
	perror(what);
	exit(1);
}

static void accept_one(int listener)
{
	int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	for (size_t i = 0; socket >= 0 && i < MAX_CONNECTIONS; i++) {
		if (connections[i].socket == 0) {
			getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length);
			connections[i] = (struct connection){.socket = socket, .peer = peer.pid};
			return;
		}
	}
}

static void print_counters(void)
{
	printf("sessions=%lu registers=%lu faults=%lu lazy=%lu forks=%lu bound=%lu adopted=%lu "
	       "resumed=%lu refused_commands=%lu\n",
	       counters.sessions, counters.registers, counters.faults, counters.lazy_faults,
	       counters.forks, counters.bound, counters.adopted, counters.resumed,
	       counters.refused);
	fflush(stdout);
}

int main(int count, char **arguments)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sigaction action = {.sa_handler = on_signal};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	static struct pollfd files[1 + MAX_SPACES + MAX_CONNECTIONS];
	static size_t owner[1 + MAX_SPACES + MAX_CONNECTIONS];

	if (count >= 3)
		allowed_features = strtoull(arguments[2], NULL, 0);
	if (count == 4)
		mishap = arguments[3];
	/* The tokens of an earlier one must mean nothing to this one. */
	next_token += (uint64_t)getpid() << 32;
	if (count < 2 || strlen(arguments[1]) >= sizeof(address.sun_path))
		return 64;
	strcpy(address.sun_path, arguments[1]);
	unlink(address.sun_path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128))
		die(arguments[1]);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	puts("ready");
	fflush(stdout);
	for (unsigned long round = 0;; round++) {
		size_t used = 1;
		size_t of_spaces;

		files[0] = (struct pollfd){.fd = listener, .events = POLLIN};
		for (size_t i = 0; i < MAX_SPACES; i++) {
			/* A fork that is read before the regions are known would have none. */
			if (spaces[i].uffd && !spaces[i].adopting) {
				owner[used] = i;
				files[used++] = (struct pollfd){spaces[i].uffd, POLLIN, 0};
			}
		}
		of_spaces = used;
		for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
			if (connections[i].socket) {
				owner[used] = i;
				files[used++] = (struct pollfd){connections[i].socket, POLLIN, 0};
			}
		}
		if (poll(files, used, 100) < 0 && errno != EINTR)
			die("poll");
		if (wanted == SIGTERM)
			break;
		if (wanted == SIGHUP)
			print_counters();
		else if (wanted)
			say_to_all(wanted == SIGUSR1 ? AGENT_COMMAND : UFFDM_GOODBYE);
		wanted = 0;
		for (size_t i = 1; i < used; i++) {
			if (!files[i].revents)
				continue;
			if (i < of_spaces)
				serve_uffd(&spaces[owner[i]]);
			else
				serve_connection(&connections[owner[i]]);
		}
		if (files[0].revents)
			accept_one(listener);
		if (round % 64 == 0)
			collect_dead();
	}
	print_counters();
	return 0;
}
