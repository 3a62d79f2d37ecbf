/* mapping.c - commands that change what is mapped. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

/* A test that asks for memory of another kind than it gets would prove nothing. */
static int is_known(const char *kind)
{
	static const char *const words[] = {"anon",    "hugetlb", "memfd",
					    "private", "shared",  "noreserve"};

	while (*kind) {
		size_t length = strcspn(kind, "-"), i = 0;

		while (i < 6 && (strlen(words[i]) != length || strncmp(kind, words[i], length)))
			i++;
		if (i == 6)
			return 0;
		kind += length + (kind[length] == '-');
	}
	return 1;
}

/* map KIND LENGTH [PROT]: address, and the memfd or -1; KIND is words with - between them */
static int do_map(struct context *c)
{
	const char *kind = c->word[0];
	size_t length = c->arg[1];
	int prot = c->argc > 2 ? (int)c->arg[2] : PROT_READ | PROT_WRITE;
	int huge = strncmp(kind, "hugetlb", 7) == 0;
	int shared = strstr(kind, "shared") != NULL;
	int flags = (shared ? MAP_SHARED : MAP_PRIVATE);
	int fd = -1;
	void *address;

	if (!is_known(kind)) {
		errno = EINVAL;
		return -1;
	}
	if (strstr(kind, "memfd")) {
		fd = memfd_create("uffd-client", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0));
		if (fd < 0 || ftruncate(fd, (off_t)length) < 0)
			return -1;
	} else {
		flags |= MAP_ANONYMOUS | MAP_NORESERVE | (huge ? MAP_HUGETLB : 0);
		if (huge && !strstr(kind, "noreserve"))
			flags &= ~MAP_NORESERVE;
	}
	address = mmap(NULL, length, prot, flags, fd, 0);
	if (address == MAP_FAILED)
		return -1;
	return answer(c, "%lu %d", (unsigned long)address, fd);
}

/* mapfd FD OFFSET LENGTH SHARED PROT */
static int do_mapfd(struct context *c)
{
	void *address = mmap(NULL, c->arg[2], (int)c->arg[4], c->arg[3] ? MAP_SHARED : MAP_PRIVATE,
			     (int)c->arg[0], (off_t)c->arg[1]);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

/* mapfixed ADDRESS LENGTH: anonymous memory over what is there */
static int do_mapfixed(struct context *c)
{
	void *address = mmap(pointer(c->arg[0]), c->arg[1], PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

static int do_munmap(struct context *c)
{
	return result(c, munmap(pointer(c->arg[0]), c->arg[1]));
}

/* mremap ADDRESS OLD NEW [TARGET] */
static int do_mremap(struct context *c)
{
	void *address = c->argc > 3
				? mremap(pointer(c->arg[0]), c->arg[1], c->arg[2],
					 MREMAP_MAYMOVE | MREMAP_FIXED, pointer(c->arg[3]))
				: mremap(pointer(c->arg[0]), c->arg[1], c->arg[2], MREMAP_MAYMOVE);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

/* dontunmap ADDRESS LENGTH: moves the pages and leaves the old range mapped and empty */
static int do_dontunmap(struct context *c)
{
	void *address = mremap(pointer(c->arg[0]), c->arg[1], c->arg[1],
			       MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

static int do_mprotect(struct context *c)
{
	return result(c, mprotect(pointer(c->arg[0]), c->arg[1], (int)c->arg[2]));
}

static int do_madvise(struct context *c)
{
	return result(c, madvise(pointer(c->arg[0]), c->arg[1], (int)c->arg[2]));
}

const struct verb mapping_verbs[] = {
	{"map", 2, do_map},	      {"mapfd", 5, do_mapfd},	  {"mapfixed", 2, do_mapfixed},
	{"munmap", 2, do_munmap},     {"mremap", 3, do_mremap},	  {"dontunmap", 2, do_dontunmap},
	{"mprotect", 3, do_mprotect}, {"madvise", 3, do_madvise}, {0},
};
