/*
 * What the tests share: a supervisor under test, the fake daemon that it runs, and waiting for
 * things with a deadline.
 */
#ifndef SUPERVISE_TESTS_HARNESS_H
#define SUPERVISE_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define PATIENCE_MS 20000

struct run {
	pid_t supervisor;
	int listener; /* where fake daemons connect */
	int log_pipe;
	int control; /* of the present daemon, or -1 */
	pid_t daemon;
	char *report;		     /* what the present daemon has found */
	char *log;		     /* of the supervisor, so far */
	size_t log_length, log_seen; /* log_seen: behind what the tests have waited for */
	char notify_socket[128];
	char address[64];
	const char *program; /* the fake daemon, or what a test wants instead */
	/* What the child does before it becomes the supervisor, or NULL. */
	void (*prepare)(void);
	int clone_flags; /* CLONE_NEWPID... */
	bool is_log_unread;
};

extern const char *build_dir; /* where the programs are */
extern char work_dir[];	      /* for files of the tests, removed at the end */

enum result { FAILED, PASSED, SKIPPED };

struct test {
	const char *name;
	enum result (*run)(struct run *run);
};

/* Tables that end with a name of NULL. */
extern const struct test store_tests[], message_tests[], life_tests[], release_tests[],
	start_tests[];

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "    %s:%d: not so: %s\n", __FILE__, __LINE__,             \
				#condition);                                                       \
			return FAILED;                                                             \
		}                                                                                  \
	} while (0)

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		printf("skipped: %s\n", reason);                                                   \
		return SKIPPED;                                                                    \
	} while (0)

/* Starts a supervisor with these options (the list ends with NULL). */
bool start(struct run *run, ...) __attribute__((sentinel));

/* Ends whatever is left of it. The run that a test is called with is cleaned up by the caller. */
void clean_up(struct run *run);

/* The next daemon has connected, reported, and listens. */
bool await_daemon(struct run *run);
/* The same, and it has said READY=1 and the supervisor knows. */
bool await_ready(struct run *run);
bool no_daemon_comes(struct run *run, int ms);

/* A command with descriptors, which stay the caller's; true if the answer is the expected one. */
bool tell_fds(struct run *run, const char *command, size_t length, const int *fds, size_t count,
	      const char *expected);
bool tell(struct run *run, const char *command, const char *expected);
/* The daemon says it to its supervisor, which has dealt with it when this returns. */
bool say_fds(struct run *run, const char *text, const int *fds, size_t count);
bool say(struct run *run, const char *text);
/* A command that is not answered. */
bool order(struct run *run, const char *command);
/* The daemon sends this by itself: a signal that it got. */
bool await_answer(struct run *run, const char *expected);
bool no_answer_comes(struct run *run, int ms);

/* FDSTORE=1 with FDPOLL=0 of one descriptor, which is closed here. */
bool store(struct run *run, const char *name, int fd);
/* A memfd that begins with this text. */
int make_memfd(const char *text);
bool reported(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How many descriptors the daemon was given. */
int reported_fds(const struct run *run);

/* This comes in the log, behind what was waited for before. */
bool await_log(struct run *run, const char *text);
bool is_in_log(struct run *run, const char *text);

/* The exit code of the supervisor, 128+N for a signal, -1 if it does not end. */
int await_end(struct run *run);
bool await_end_of(pid_t pid);
/* The other end of a pipe is closed everywhere. */
bool await_hangup(int fd);
bool is_hung_up(int fd);
int open_fds_of(pid_t pid);

/* Waits until the process has so many open. */
bool await_open_fds(pid_t pid, int count);
bool is_readable(int fd, int ms);
double now(void);
void pause_ms(int ms);

/* Sends a datagram to the supervisor from this process, which is nobody to it. */
bool say_as_stranger(struct run *run, const char *text, const int *fds, size_t count);

#endif
