/* loss.c - programs that live on while their manager goes away; each waits for a line or a byte. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

/* Uses memory and a mapped file, half of it before and half of it after a line on standard input;
 * what happens to the manager meanwhile must not be seen. */
int probe_halves(const char *path)
{
	int file = open(path, O_RDONLY);
	unsigned char *base = map_big();
	unsigned char *mapped = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, file, 0);
	unsigned char *moved;

	if (mapped == MAP_FAILED)
		fail(path);
	moved = mremap(mapped + BIG / 4, BIG / 4, BIG / 4, MREMAP_MAYMOVE | MREMAP_FIXED,
		       map_big());
	if (moved == MAP_FAILED)
		fail("mremap");
	printf("first: %lu %016lx\n", use(base, BIG / 2), digest(mapped, BIG / 4));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	printf("second: %lu", use(base + BIG / 2, BIG / 2));
	printf(" %016lx", digest(mapped + BIG / 2, BIG / 2));
	printf(" %016lx\n", digest(moved, BIG / 4));
	printf("new: %lu\n", use(map_big(), BIG));
	fflush(stdout);
	if (fork() == 0) {
		printf("child: %lu\n", use(map_big(), BIG));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	printf("kept: %d\n", base[5 * PAGE + 7]);
	return 0;
}

/* Forks when told to; the child needs a new page, a page of the parent and one of the file. */
int probe_fork_later(const char *path)
{
	int file = open(path, O_RDONLY);
	unsigned char *base = map_big();
	unsigned char *mapped = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, file, 0);
	pid_t child;
	int status;

	if (mapped == MAP_FAILED)
		fail(path);
	printf("first: %lu %016lx\n", use(base, BIG / 2), digest(mapped, BIG / 4));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	child = fork();
	if (child == 0) {
		printf("child: %d %lu", base[5 * PAGE + 7], use(base + BIG / 2, BIG / 2));
		printf(" %016lx", digest(mapped + BIG / 2, BIG / 4));
		printf(" %lu\n", use(map_big(), BIG));
		fflush(stdout);
		_exit(4);
	}
	waitpid(child, &status, 0);
	printf("parent: %d %lu %016lx\n", WEXITSTATUS(status), use(base + BIG / 2, BIG / 2),
	       digest(mapped + BIG / 2, BIG / 4));
	return 0;
}

#define OUTAGE_AREAS 20

/* New memory while nobody manages: the first areas may wait for a manager, not each of them. */
int probe_outage(void)
{
	struct timespec begin, end;

	printf("first: %lu\n", use(map_big(), BIG / 2));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < OUTAGE_AREAS; i++)
		printf("new: %lu\n", use(map_big(), BIG / 2));
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s\n", end.tv_sec - begin.tv_sec < OUTAGE_AREAS ? "goes on" : "FAILED: waits");
	fflush(stdout);
	/* Until the manager is back: what was managed before is managed again. */
	if (getchar() == EOF)
		return 1;
	printf("later: %lu\n", use(map_big(), BIG));
	return 0;
}

/* One of many that wait at the same input: a byte each. */
int probe_crowd(void)
{
	char byte;

	printf("first: %lu\n", use(map_big(), MIB));
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		return 1;
	printf("later: %lu\n", use(map_big(), MIB));
	return 0;
}
