#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../firecracker/report.h"

#define BASE_PAGE 4096u
#define PORT 0x10

/*
 * 32-bit code without paging. esi = address, ecx = count, ebx = stride, edi = number, edx = port.
 * The offsets of the loops in it are below.
 */
static const uint8_t program[] = {
	/* read: mov eax,[esi]; out dx,eax; add esi,ebx; dec ecx; jnz read; hlt */
	0x8b, 0x06, 0xef, 0x01, 0xde, 0x49, 0x75, 0xf8, 0xf4, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x90,
	/* write: mov [esi],edi; inc edi; add esi,ebx; dec ecx; jnz write; hlt */
	0x89, 0x3e, 0x47, 0x01, 0xde, 0x49, 0x75, 0xf8, 0xf4, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x90,
	/* sum: xor eax,eax; again: add eax,[esi]; add esi,ebx; dec ecx; jnz again; out dx,eax; hlt
	 */
	0x31, 0xc0, 0x03, 0x06, 0x01, 0xde, 0x49, 0x75, 0xf9, 0xef, 0xf4};

static const uint32_t entries[] = {
	[LOOP_READ] = 0,
	[LOOP_WRITE] = 16,
	[LOOP_SUM] = 32,
};

int vm_install_program(const char *image)
{
	int fd = open(image, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (pwrite(fd, program, sizeof(program), CODE_PAGE * BASE_PAGE) != sizeof(program))
		error = errno ? errno : EIO;
	if (close(fd) < 0 && !error)
		error = errno;
	return error;
}

static struct kvm_segment flat(uint8_t type, uint16_t selector)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

/* Protected mode, flat segments, no paging. */
static void create_vcpu(struct vm *vm, unsigned int number)
{
	struct vcpu *vcpu = &vm->vcpus[number];
	struct kvm_sregs sregs;

	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)number);
	if (vcpu->fd < 0)
		report_setup(errno, "KVM_CREATE_VCPU");
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		report_setup(errno, "a vCPU");
	sregs.cs = flat(0xb, 8);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x3, 16);
	sregs.cr0 |= 1;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		report_setup(errno, "KVM_SET_SREGS");
}

void vm_create(struct vm *vm, const struct memory *memory, unsigned int vcpus)
{
	*vm = (struct vm){.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), .vcpu_count = vcpus};
	if (vm->kvm < 0)
		report_setup(errno, "/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		report_setup(errno, "KVM_CREATE_VM");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0)
		report_setup(errno, "KVM_SET_TSS_ADDR");
	int run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (run_size < 0)
		report_setup(errno, "KVM_GET_VCPU_MMAP_SIZE");
	vm->run_size = (size_t)run_size;
	for (unsigned int i = 0; i < memory->count; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = memory->region[i].offset,
			.memory_size = memory->region[i].size,
			.userspace_addr = (uintptr_t)memory->region[i].base,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			report_setup(errno, "KVM_SET_USER_MEMORY_REGION");
	}
	for (unsigned int i = 0; i < vcpus; i++)
		create_vcpu(vm, i);
}

void vm_loop(struct vcpu *vcpu, enum loop loop, uint32_t start, uint32_t count, uint32_t stride,
	     uint32_t number, vm_told *told, void *argument)
{
	struct kvm_regs regs = {
		.rip = CODE_PAGE * BASE_PAGE + entries[loop],
		.rsi = start,
		.rcx = count,
		.rbx = stride,
		.rdi = number,
		.rdx = PORT,
		.rflags = 2,
	};
	uint64_t i = 0;

	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		report_setup(errno, "KVM_SET_REGS");
	for (;;) {
		uint32_t value;

		report_begin("runs the guest from", start / BASE_PAGE);
		int result = ioctl(vcpu->fd, KVM_RUN, 0);
		int error = errno;

		report_end();
		if (result < 0 && error == EINTR)
			continue;
		if (result < 0)
			report_fail("KVM_RUN: %s, after %lu words from %#x on", strerror(error), i,
				    start);
		if (vcpu->run->exit_reason == KVM_EXIT_HLT)
			return;
		if (vcpu->run->exit_reason != KVM_EXIT_IO)
			report_fail("the guest left by exit %u, after %lu words from %#x on",
				    vcpu->run->exit_reason, i, start);
		memcpy(&value, (char *)vcpu->run + vcpu->run->io.data_offset, sizeof(value));
		told(argument, i++, value);
	}
}
