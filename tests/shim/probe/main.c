/*
 * probe NAME [ARGUMENT] - looks at what a program can see of itself, and prints it. Run without and
 * with the shim the output must be the same. What is wrong by itself ends with status 1.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe.h"

int at_start_errno = -1;

void fail(const char *what)
{
	printf("FAILED: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

unsigned char *map_big(void)
{
	unsigned char *base =
		mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		fail("mmap");
	return base;
}

uint64_t use(unsigned char *base, size_t length)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < length; at += PAGE) {
		if (base[at + 7] != 0)
			fail("fresh memory is not zero");
		base[at + 7] = (unsigned char)(at / PAGE);
	}
	for (size_t at = 0; at < length; at += PAGE)
		sum += base[at + 7];
	return sum;
}

uint64_t digest(const unsigned char *base, size_t length)
{
	uint64_t value = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < length; i++)
		value = (value ^ base[i]) * 0x100000001b3ull;
	return value;
}

int main(int count, char **arguments)
{
	const char *name = count > 1 ? arguments[1] : "";
	char *argument = count > 2 ? arguments[2] : NULL;

	at_start_errno = errno;
	if (strcmp(name, "descriptors") == 0)
		return probe_descriptors();
	if (strcmp(name, "children") == 0)
		return probe_children();
	if (strcmp(name, "errno") == 0)
		return probe_errno();
	if (strcmp(name, "signals") == 0)
		return probe_signals();
	if (strcmp(name, "heap") == 0)
		return probe_heap();
	if (strcmp(name, "identity") == 0)
		return probe_identity();
	if (strcmp(name, "unshare") == 0)
		return probe_unshare();
	if (strcmp(name, "forks") == 0)
		return probe_forks();
	if (strcmp(name, "raw-fork") == 0)
		return probe_raw_fork();
	if (strcmp(name, "no-new-code") == 0)
		return probe_no_new_code(arguments[0]);
	if (strcmp(name, "drop-rights") == 0)
		return probe_drop_rights();
	if (strcmp(name, "spawn") == 0)
		return probe_spawn();
	if (strcmp(name, "exec") == 0)
		return probe_exec(arguments[0], argument);
	if (strcmp(name, "thread-exec") == 0)
		return probe_thread_exec(arguments[0]);
	if (strcmp(name, "main-thread-ends") == 0)
		return probe_main_thread_ends();
	if (strcmp(name, "lazy") == 0 && argument)
		return probe_lazy(argument);
	if (strcmp(name, "halves") == 0 && argument)
		return probe_halves(argument);
	if (strcmp(name, "fork-later") == 0 && argument)
		return probe_fork_later(argument);
	if (strcmp(name, "outage") == 0)
		return probe_outage();
	if (strcmp(name, "crowd") == 0)
		return probe_crowd();
	return 64;
}
