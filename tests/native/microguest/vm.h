/*
 * vm.h - a virtual machine of some vCPUs and no devices, whose only program is three loops in a
 * page of its memory. What they read comes out of a port, so that the host sees what a guest sees.
 */
#ifndef MICROGUEST_VM_H
#define MICROGUEST_VM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#include "../firecracker/memory.h"

#define MAX_VCPUS 8u
#define CODE_PAGE 2u /* where the program is in the memory file */

/* What the guest does from a start address on, `count` times, each time a stride further. */
enum loop {
	LOOP_READ,  /* tells the 32-bit word that is there */
	LOOP_WRITE, /* stores a number that grows by one */
	LOOP_SUM,   /* tells the sum of all words, at the end */
};

struct vcpu {
	int fd;
	struct kvm_run *run;
};

struct vm {
	int kvm;
	int fd;
	size_t run_size;
	unsigned int vcpu_count;
	struct vcpu vcpus[MAX_VCPUS];
};

/* What a loop told; `argument` is the caller's, `i` counts from 0. */
typedef void vm_told(void *argument, uint64_t i, uint32_t value);

/* Writes the program into a memory file. Returns 0 or an errno. */
int vm_install_program(const char *image);

/* A machine whose physical memory is `memory`, at the same places as in the memory file. Ends the
 * process with EXIT_SETUP where there is no KVM. */
void vm_create(struct vm *vm, const struct memory *memory, unsigned int vcpus);

/* Runs a loop to its end on one vCPU. Anything else that the guest comes to ends the process. */
void vm_loop(struct vcpu *vcpu, enum loop loop, uint32_t start, uint32_t count, uint32_t stride,
	     uint32_t number, vm_told *told, void *argument);

#endif
