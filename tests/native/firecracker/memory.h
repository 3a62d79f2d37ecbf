/*
 * memory.h - a guest's memory as Firecracker maps it after a restore: a few regions, one after the
 * other in the memory file, registered with one userfaultfd.
 */
#ifndef FIRECRACKER_MEMORY_H
#define FIRECRACKER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "version.h"

#define MAX_REGIONS 8u
#define HOTPLUG_SLOTS 4u

struct memory_options {
	const struct version *version;
	uint64_t length;      /* of all regions but the hot-plug one */
	unsigned int regions; /* without the hot-plug one */
	uint64_t hotplug;     /* bytes of a virtio-mem region behind the others, 0 = none */
	bool huge;	      /* hugetlb pages of 2 MiB */
	bool transparent;     /* MADV_HUGEPAGE; the message says 4096 all the same */
	bool balloon;	      /* the snapshot has a balloon device */
	bool fork;	      /* the fork with write-protection: MISSING|WP, WP_ASYNC */
	bool sync_wp;	      /* that fork, without WP_ASYNC */
	bool memfd;	      /* that fork, memory in a shared memfd that is handed over too */
};

struct region {
	uint8_t *base;
	uint64_t size;
	uint64_t offset; /* in the memory file */
	bool hotplug;	 /* HOTPLUG_SLOTS slots of equal size; odd ones begin unplugged */
};

struct memory {
	struct region region[MAX_REGIONS];
	unsigned int count;
	uint64_t length; /* of all regions */
	uint64_t page_size;
	int uffd;
	int memfd;   /* -1 = anonymous memory */
	bool remaps; /* giving up memory maps it anew and takes it from the userfaultfd */
};

/* Maps, creates the userfaultfd and registers; ends the process with EXIT_SETUP if it cannot. */
void memory_create(struct memory *memory, const struct memory_options *options);

/* Where the byte at `offset` of the memory file is. */
uint8_t *memory_at(const struct memory *memory, uint64_t offset);

/* How many bytes from `offset` on are in the same region. */
uint64_t memory_left(const struct memory *memory, uint64_t offset);

/* Gives up pages as this version's balloon does: what is read there afterwards is zeros. Returns
 * 0 or an errno. */
int memory_give_up(const struct memory *memory, uint64_t offset, uint64_t length);

#endif
