#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <time.h>
#include "agent_parts.h"
#include "identity.h"

uint32_t *program_word(void)
{
	return (uint32_t *)&control()->alive.__data.__lock;
}

void program_hold_word(void)
{
	pthread_mutexattr_t robust;

	if (control()->alive.__data.__lock != 0)
		return;
	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&control()->alive, &robust);
	pthread_mutex_lock(&control()->alive);
	pthread_mutexattr_destroy(&robust);
}

/* PF_EXITING of the kernel, in the flags of /proc/pid/stat. */
#define TASK_IS_EXITING 0x4ul

/* "pid (comm) state ppid pgrp session tty tpgid flags ...": comm may contain anything, so from
 * behind. */
static bool is_ended_leader(const char *stat, long length)
{
	unsigned long flags = 0;
	long at = length - 3;
	int blanks = 0;

	while (at > 0 && stat[at] != ')')
		at--;
	if (at <= 0)
		return false;
	if (stat[at + 2] == 'Z' || stat[at + 2] == 'X')
		return true;
	for (at++; at < length && blanks < 8; at++) {
		if (stat[at] == ' ')
			blanks++;
		else if (blanks == 7)
			flags = flags * 10 + (unsigned long)(stat[at] - '0');
	}
	return (flags & TASK_IS_EXITING) != 0;
}

/*
 * The program's main thread has ended or has executed another program; only its state tells which.
 * A leader that ends before its threads stays a zombie; after exec the pid is alive and well, and
 * this memory has no user but the agent.
 */
static bool runs_something_else(void)
{
	char path[32] = "";
	char stat[512];
	char *end = path;
	char digits[12];
	int count = 0;
	long length;
	long fd;

	for (int pid = agent.program; pid > 0; pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	while (count > 0)
		*end++ = digits[--count];
	for (const char *rest = "/stat"; *rest; rest++)
		*end++ = *rest;
	*end = 0;
	fd = sys4(SYS_openat, AGENT_PROC, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return true;
	length = sys3(SYS_read, fd, stat, sizeof(stat));
	sys1(SYS_close, fd);
	return !is_ended_leader(stat, length);
}

void program_check(void)
{
	struct pollfd program = {.fd = agent.program_fd, .events = POLLIN};
	struct timespec now = {0};

	if (sys5(SYS_ppoll, &program, 1, &now, NULL, 0) != 0)
		quit();
	if ((load(program_word()) & FUTEX_OWNER_DIED) && runs_something_else())
		quit();
}

bool program_follow_rights(void)
{
	if (!identity_is_privileged())
		return false;
	identity_follow(AGENT_PROC, agent.program);
	return identity_is_privileged();
}
