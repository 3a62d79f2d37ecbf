/* client.h - what the commands of uffd-client have in common. */
#ifndef UFFD_CLIENT_H
#define UFFD_CLIENT_H

#include <stdint.h>

enum { MAX_MESSAGE = 512, MAX_ARGS = 8 };

struct context {
	const char *id;
	int fd;	     /* came with the command; the command takes it by setting -1 */
	int send_fd; /* goes out with the reply, stays open here; or -1 */
	int argc;
	uint64_t arg[MAX_ARGS];
	char *word[MAX_ARGS];
	char reply[MAX_MESSAGE];
};

struct verb {
	const char *name; /* NULL behind the last */
	int min_args;
	/* 0 with the reply's values printed, or -1 with errno. */
	int (*run)(struct context *c);
};

extern const struct verb mapping_verbs[];
extern const struct verb access_verbs[];
extern const struct verb uffd_verbs[];
extern const struct verb descriptor_verbs[];
extern const struct verb process_verbs[];

/* Prints the reply's values; 0. */
int answer(struct context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a system call has returned: -1 as it is, else the reply's value. */
int result(struct context *c, long value);

/* In a forked child: what it has of its parent's connection and workers is gone. */
void client_forget_parent(void);

/* Connects, says hello and hands out commands until the connection ends. */
_Noreturn void client_serve(void);

/* Becomes the same program anew; -1 and errno. */
int client_exec(void);

static inline volatile unsigned char *byte_at(uint64_t address)
{
	return (volatile unsigned char *)(uintptr_t)address;
}

static inline void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

#endif
