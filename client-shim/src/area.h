/*
 * area.h - the memory that the program's hooks and the agent share.
 *
 * One private anonymous mapping of the program, made by the constructor:
 *
 *   control   wiped by the kernel in every forked child, however it was forked: a child that finds
 *             zeros there knows that it has no agent
 *   stacks    of the agent's two tasks
 *   mailbox   one page, registered on the userfaultfd, never present: see fork.c
 *   config    from the environment; survives fork
 *   files     the lazily mapped files; survives fork, read and written by the agent only
 */
#ifndef SHIM_AREA_H
#define SHIM_AREA_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "uffd_manager/protocol.h"
#include "sys.h"

#define SHIM_SLOTS 32u
#define SHIM_FILES 256u
#define SHIM_PREFIXES 16u
#define SHIM_PATH 4096u
#define SHIM_STACK (64ul * 1024)

/* A hook waits this long for an agent that does not take its request up, and nobody waits once the
 * manager has been away for so long; see doorbell.c. */
#define SHIM_PATIENCE_MS 2000u

enum shim_link_state {
	SHIM_LINK_NONE,	   /* no agent */
	SHIM_LINK_UP,	   /* connected */
	SHIM_LINK_DOWN,	   /* the agent looks for a manager */
	SHIM_LINK_RELEASED /* the manager has ended the session: nothing is managed any more */
};

enum shim_slot_state {
	SHIM_SLOT_FREE,
	SHIM_SLOT_CLAIMED,  /* a hook fills it */
	SHIM_SLOT_POSTED,   /* for the agent; the hook may still take it back */
	SHIM_SLOT_TAKEN,    /* the agent works on it; the hook waits as long as the agent lives */
	SHIM_SLOT_ANSWERED, /* result is valid */
};

enum shim_slot_kind { SHIM_REGISTER_ANONYMOUS, SHIM_MAP_LAZY, SHIM_STOP };

/* One request of a hook. Everything but state belongs to who the state says. */
struct shim_slot {
	uint32_t state;	 /* enum shim_slot_state, a futex */
	int32_t result;	 /* 0 or negative errno */
	uint32_t kind;	 /* enum shim_slot_kind */
	int32_t process; /* whose descriptor table has file: a vfork child's differs */
	uint64_t start;
	uint64_t length;
	/* SHIM_MAP_LAZY: a mapping of this file is already there and is replaced */
	uint64_t offset;
	uint64_t size;
	uint64_t device;
	uint64_t inode;
	int32_t file;
	int32_t prot;
	int32_t task;  /* who has claimed it, 0: nobody yet */
	int32_t flags; /* of the mapping that is there */
	char path[SHIM_PATH - 80];
};
_Static_assert(sizeof(struct shim_slot) == SHIM_PATH, "one page each");

struct shim_control {
	uint32_t state;	     /* enum shim_link_state, a futex */
	uint32_t bell;	     /* counts requests, a futex: the agent's bell task waits on it */
	uint32_t lock;	     /* of the connection, between the agent's tasks */
	int32_t leader;	     /* the agent; the kernel clears it when it ends, also by SIGKILL */
	int32_t failure;     /* negative errno of an agent that could not start */
	uint64_t down_since; /* CLOCK_MONOTONIC in ms, while state is SHIM_LINK_DOWN */
	/* Locked by the program's main thread for ever. The kernel marks the word when that thread
	 * ends or executes another program, which tells the agent at once that this memory may have
	 * no user left. */
	pthread_mutex_t alive;
};

struct shim_prefix {
	uint32_t length; /* 0: unused */
	char text[SHIM_PATH - 4];
};

struct shim_config {
	bool attached; /* a session exists, this process may be a child of its owner */
	bool released; /* the manager has ended it on purpose */
	/* Without it (a manager without CAP_SYS_PTRACE) a child's missing pages are the kernel's
	 * zeros. That is right for anonymous memory, but not for lazily mapped files. */
	bool follows_forks;
	bool require;
	bool verbose;
	uint64_t minimum;
	char socket[108];
	char policy[UFFDM_MAX_POLICY + 1];
	char label[UFFDM_MAX_LABEL + 1];
	uint32_t prefixes;
	struct shim_prefix prefix[SHIM_PREFIXES];
};

/* A file that is mapped lazily. Its stub is a memfd of the same size that never holds a page: as
 * the mappings are of the stub, /proc/self/maps tells at any time where the file is mapped at which
 * offset, whatever the program did with munmap, mremap or mprotect. */
struct shim_file {
	uint32_t used;
	int32_t file; /* descriptors of the agent, -1: none */
	int32_t stub;
	uint32_t unused;
	uint64_t device, inode; /* of the file */
	uint64_t stub_device, stub_inode;
	uint64_t size; /* of the stub */
	char path[SHIM_PATH - 56];
};
_Static_assert(sizeof(struct shim_file) == SHIM_PATH, "one page each");

#define SHIM_ALIGNED __attribute__((aligned(4096)))

struct shim_area {
	struct shim_control control SHIM_ALIGNED;
	struct shim_slot slots[SHIM_SLOTS];
	/* end of what a fork wipes */
	unsigned char guard0[SHIM_PAGE] SHIM_ALIGNED;
	unsigned char leader_stack[SHIM_STACK];
	unsigned char guard1[SHIM_PAGE] SHIM_ALIGNED;
	unsigned char ringer_stack[SHIM_STACK];
	unsigned char mailbox[SHIM_PAGE] SHIM_ALIGNED;
	struct shim_config config SHIM_ALIGNED;
	int32_t files_owner SHIM_ALIGNED; /* the agent whose descriptor numbers `files` has */
	uint32_t files_used;
	struct shim_file files[SHIM_FILES] SHIM_ALIGNED;
};

/* NULL until the constructor has mapped it, and for ever if it did not. */
extern struct shim_area *shim_area;

/* Futexes between the program and the agent: one address space, so private ones. */
void shim_wake(uint32_t *word, int count);
/* Waits while *word == seen; returns 0, -EAGAIN, -EINTR or -ETIMEDOUT. timeout 0: for ever. */
long shim_wait(uint32_t *word, uint32_t seen, unsigned timeout_ms);

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t shim_now_ms(void);

/* Blocks all signals of this task; the old set goes to *old. */
void shim_block_signals(uint64_t *old);
void shim_restore_signals(const uint64_t *old);

#endif
