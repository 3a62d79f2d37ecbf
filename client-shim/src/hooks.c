#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include "doorbell.h"
#include "hooks.h"
#include "lazy.h"
#include "patch.h"

/* Heap growth is registered in steps of at least this size, and before the program has touched it:
 * a part that was touched before it was registered stays a mapping of its own for ever. malloc
 * grows its heap by 132 KiB, so that every growth is one step. */
#define HEAP_STEP (128ul * 1024)

/* libc's record of the end of the heap; sbrk(3) reads it. */
static void **libc_end_of_heap;

/* Written under libc's malloc lock or by a program that may not call brk concurrently anyway. */
static struct {
	uint64_t registered; /* up to here; the constructor's end of heap at first */
	bool any;
} heap;

static uint64_t up_to_page(uint64_t address)
{
	return (address + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1);
}

static void ring_for(uint64_t start, uint64_t length)
{
	struct shim_slot *slot;
	uint64_t signals;

	shim_block_signals(&signals);
	slot = doorbell_claim();
	if (slot) {
		slot->kind = SHIM_REGISTER_ANONYMOUS;
		slot->start = start;
		slot->length = length;
		doorbell_ring(slot);
	}
	shim_restore_signals(&signals);
}

/* Huge pages, locked memory and stacks that grow have rules of their own; they stay with the
 * kernel. */
static bool is_for_manager(size_t length, int flags)
{
	const int never = MAP_HUGETLB | MAP_LOCKED | MAP_GROWSDOWN;

	return flags & MAP_ANONYMOUS && (flags & MAP_TYPE) == MAP_PRIVATE && !(flags & never) &&
	       length >= shim_area->config.minimum;
}

static void map_lazily(long address, size_t length, int prot, int flags, int file, off_t offset)
{
	struct shim_slot *slot;
	uint64_t signals;

	shim_block_signals(&signals);
	slot = doorbell_claim();
	if (slot && !lazy_is_wanted(slot, length, prot, flags, file, (uint64_t)offset)) {
		doorbell_release(slot);
	} else if (slot) {
		slot->start = (uint64_t)address;
		/* An agent that died over it may have left the stub there. */
		if (doorbell_ring(slot) == -ECHILD)
			sys_mmap((void *)address, length, prot, flags | MAP_FIXED, file,
				 (unsigned long)offset);
	}
	shim_restore_signals(&signals);
}

static void *hook_mmap(void *address, size_t length, int prot, int flags, int file, off_t offset)
{
	long result = sys_mmap(address, length, prot, flags, file, (unsigned long)offset);

	if (sys_is_error(result)) {
		errno = (int)-result;
		return MAP_FAILED;
	}
	if (!doorbell_works())
		return (void *)result;
	if (is_for_manager(length, flags))
		ring_for((uint64_t)result, up_to_page(length));
	else if (!(flags & MAP_ANONYMOUS) && shim_area->config.prefixes)
		map_lazily(result, length, prot, flags, file, offset);
	return (void *)result;
}

static void follow_heap(uint64_t end)
{
	uint64_t from = up_to_page(heap.registered);
	uint64_t to = up_to_page(end);

	if (to < from) {
		heap.registered = end;
		return;
	}
	uint64_t step = heap.any || shim_area->config.minimum < HEAP_STEP
				? HEAP_STEP
				: shim_area->config.minimum;

	if (to - from < step || !doorbell_works())
		return;
	ring_for(from, to - from);
	heap.registered = to;
	heap.any = true;
}

static int hook_brk(void *address)
{
	void *end = (void *)sys1(SYS_brk, address);

	*libc_end_of_heap = end;
	if (end < address) {
		errno = ENOMEM;
		return -1;
	}
	follow_heap((uint64_t)end);
	return 0;
}

void *mmap(void *address, size_t length, int prot, int flags, int file, off_t offset)
{
	return hook_mmap(address, length, prot, flags, file, offset);
}

void *mmap64(void *address, size_t length, int prot, int flags, int file, off_t offset)
{
	return hook_mmap(address, length, prot, flags, file, offset);
}

const char *hooks_install(void)
{
	/* By name and not RTLD_NEXT: another preloaded library may have an mmap of its own. */
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	const char *refused;
	void *libc_mmap;
	void *libc_brk;

	heap.registered = (uint64_t)sys1(SYS_brk, 0);
	if (!libc)
		return "libc.so.6 is not loaded";
	libc_mmap = dlsym(libc, "mmap");
	libc_brk = dlsym(libc, "brk");
	libc_end_of_heap = dlsym(libc, "__curbrk");
	dlclose(libc);
	if (!libc_mmap)
		return "libc has no mmap";
	refused = patch_entry(libc_mmap, (void *)hook_mmap);
	if (!refused && libc_brk && libc_end_of_heap)
		refused = patch_entry(libc_brk, (void *)hook_brk);
	return refused;
}
