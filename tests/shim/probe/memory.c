/* memory.c - the heap, and all that a program may do with a mapped file. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

int probe_heap(void)
{
	static char buffer[BUFSIZ];
	unsigned char *start;
	unsigned char *end;

	/* stdio must not take part of the heap in between. */
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	start = sbrk(0);
	for (int i = 0; i < 256; i++)
		if (sbrk(64 * 1024) == (void *)-1)
			fail("sbrk");
	end = sbrk(0);
	printf("grown by: %td\n", end - start);
	printf("sum: %lu\n", use(start, (size_t)(end - start)));
	sbrk(-(intptr_t)(4 * MIB));
	printf("shrunk: %td\n", (unsigned char *)sbrk(0) - start);
	sbrk(8 * MIB);
	printf("zero again: %lu\n", use(end - 4 * MIB, 8 * MIB));
	printf("the rest: %d %d\n", start[7 + PAGE], start[7 + 200 * PAGE]);
	char **many = malloc(20000 * sizeof(char *));

	for (int i = 0; i < 20000; i++)
		many[i] = calloc(1, (size_t)i % 3000 + 1);
	for (int i = 0; i < 20000; i++)
		free(many[i]);
	free(many);
	return 0;
}

static sigjmp_buf on_bus;

static void bus(int number)
{
	(void)number;
	siglongjmp(on_bus, 1);
}

static bool is_beyond(volatile const unsigned char *address)
{
	if (sigsetjmp(on_bus, 1))
		return true;
	(void)*address;
	return false;
}

/* All that a program may do with a mapped file. The file must not be a multiple of the page size.
 */
int probe_lazy(const char *path)
{
	struct sigaction action = {.sa_handler = bus};
	int file = open(path, O_RDONLY);
	int both = open(path, O_RDWR);
	struct stat status;
	size_t size, pages;
	unsigned char *base, *copy, *other;

	if (file < 0 || both < 0 || fstat(file, &status))
		fail(path);
	size = (size_t)status.st_size;
	pages = (size + PAGE - 1) & ~(PAGE - 1);
	sigaction(SIGBUS, &action, NULL);

	base = mmap(NULL, size + 4 * PAGE, PROT_READ, MAP_SHARED, file, 0);
	if (base == MAP_FAILED)
		fail("read-only shared");
	printf("shared: %016lx\n", digest(base, size));
	printf("behind the end: %d, beyond: %d\n", base[size], is_beyond(base + pages + 5));
	printf("unmap: %d\n", munmap(base + 16 * PAGE, 16 * PAGE));
	printf("the rest: %016lx\n", digest(base + 32 * PAGE, 32 * PAGE));

	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (copy == MAP_FAILED)
		fail("private");
	memcpy(copy + 5, "mine", 4);
	copy[size - 1] ^= 1;
	printf("private: %016lx\n", digest(copy, size));
	printf("dontneed: %d\n", madvise(copy, pages, MADV_DONTNEED));
	printf("again: %016lx\n", digest(copy, size));
	other = mremap(copy + 64 * PAGE, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       map_big());
	if (other == MAP_FAILED)
		fail("mremap");
	printf("moved: %016lx\n", digest(other, 64 * PAGE));
	madvise(other, 64 * PAGE, MADV_DONTNEED);
	printf("moved again: %016lx\n", digest(other, 64 * PAGE));

	base = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE, file, 3 * PAGE);
	close(file);
	printf("offset: %016lx\n", digest(base, 8 * PAGE));
	printf("protect: %d\n", mprotect(base, PAGE, PROT_READ | PROT_WRITE));
	base[0] = 1;

	/* These must be the file itself. */
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, both, 0);
	other = mmap(NULL, size, PROT_READ, MAP_SHARED, both, 0);
	if (base == MAP_FAILED || other == MAP_FAILED)
		fail("shared");
	base[100] ^= 0x55;
	printf("shared writing is seen: %d\n", other[100] == base[100]);
	base[100] ^= 0x55;
	fflush(stdout);
	if (fork() == 0) {
		printf("child: %016lx\n", digest(copy, 64 * PAGE));
		madvise(copy, 64 * PAGE, MADV_DONTNEED);
		printf("child again: %016lx\n", digest(copy, 64 * PAGE));
		copy = mmap(NULL, size, PROT_READ, MAP_PRIVATE, both, 0);
		printf("child's own: %016lx\n", digest(copy, size));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	return 0;
}
