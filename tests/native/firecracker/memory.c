#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "report.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

/* A region of the right alignment, as newer versions ask for it; older ones get it as well. */
static uint8_t *map_region(const struct memory *memory, const struct memory_options *options,
			   uint64_t offset, uint64_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *space = mmap(NULL, size + HUGE_PAGE, PROT_NONE, flags, -1, 0);

	if (space == MAP_FAILED)
		report_setup(errno, "mmap of %lu bytes", size);
	uint8_t *base = space + (-(uintptr_t)space & (HUGE_PAGE - 1));
	uint64_t before = (uint64_t)(base - space);

	if (before)
		munmap(space, before);
	munmap(base + size, HUGE_PAGE - before);
	if (memory->memfd >= 0)
		flags = MAP_SHARED;
	if (options->huge && memory->memfd < 0)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	base = mmap(base, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, memory->memfd,
		    memory->memfd >= 0 ? (off_t)offset : 0);
	if (base == MAP_FAILED)
		report_setup(errno, "mmap of %lu bytes of guest memory", size);
	if (options->transparent && madvise(base, size, MADV_HUGEPAGE) < 0)
		report_setup(errno, "MADV_HUGEPAGE");
	return base;
}

static void create_uffd(struct memory *memory, const struct memory_options *options)
{
	const struct version *version = options->version;
	int device = version->user_mode_only ? -1 : open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device >= 0) {
		memory->uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	} else if (version->user_mode_only || errno == ENOENT) {
		int flags = version->user_mode_only ? UFFD_USER_MODE_ONLY : 0;

		memory->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);
	}
	if (memory->uffd < 0)
		report_setup(errno, "no userfaultfd");

	struct uffdio_api api = {.api = UFFD_API};

	if (version->always_remove || options->balloon || options->fork)
		api.features |= UFFD_FEATURE_EVENT_REMOVE;
	if (options->fork)
		api.features |= UFFD_FEATURE_MISSING_HUGETLBFS;
	if (options->fork && !options->sync_wp)
		api.features |= UFFD_FEATURE_WP_ASYNC;
	if (ioctl(memory->uffd, UFFDIO_API, &api) < 0)
		report_setup(errno, "UFFDIO_API");
}

static void enrol(const struct memory *memory, const struct memory_options *options,
		  const struct region *region)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)region->base, .len = region->size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect protect = {
		.range = reg.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (options->fork)
		reg.mode |= UFFDIO_REGISTER_MODE_WP;
	if (ioctl(memory->uffd, UFFDIO_REGISTER, &reg) < 0)
		report_setup(errno, "UFFDIO_REGISTER");
	if (options->fork && options->huge &&
	    ioctl(memory->uffd, UFFDIO_WRITEPROTECT, &protect) < 0)
		report_setup(errno, "UFFDIO_WRITEPROTECT");
}

/* Unplugged slots are mapped, so that the hot-plug region can be registered as one, but nobody may
 * touch them. */
static void unplug_odd_slots(const struct region *region)
{
	uint64_t slot = region->size / HOTPLUG_SLOTS;

	for (unsigned int i = 1; i < HOTPLUG_SLOTS; i += 2)
		if (mprotect(region->base + i * slot, slot, PROT_NONE) < 0)
			report_setup(errno, "mprotect");
}

static uint64_t part(uint64_t length, uint64_t unit, unsigned int parts, unsigned int i)
{
	uint64_t units = length / unit;

	return (units / parts + (i < units % parts)) * unit;
}

void memory_create(struct memory *memory, const struct memory_options *options)
{
	uint64_t unit = options->huge ? HUGE_PAGE : BASE_PAGE;

	*memory = (struct memory){
		.page_size = unit,
		.uffd = -1,
		.memfd = -1,
		.length = options->length + options->hotplug,
		.remaps = options->version->remaps,
	};
	if (options->length % unit || options->hotplug % (unit * HOTPLUG_SLOTS) ||
	    options->length / unit < options->regions)
		report_setup(0, "%lu and %lu bytes cannot be divided", options->length,
			     options->hotplug);
	if (options->memfd) {
		unsigned int flags = options->huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0;

		memory->memfd = memfd_create("guest-memory", MFD_CLOEXEC | flags);
		if (memory->memfd < 0 || ftruncate(memory->memfd, (off_t)memory->length) < 0)
			report_setup(errno, "memfd");
	}
	create_uffd(memory, options);
	memory->count = options->regions + (options->hotplug > 0);
	for (unsigned int i = 0; i < memory->count; i++) {
		struct region *region = &memory->region[i];

		region->hotplug = i == options->regions;
		region->size = region->hotplug ? options->hotplug
					       : part(options->length, unit, options->regions, i);
		if (i > 0)
			region->offset = region[-1].offset + region[-1].size;
		region->base = map_region(memory, options, region->offset, region->size);
		enrol(memory, options, region);
		if (region->hotplug)
			unplug_odd_slots(region);
	}
}

static const struct region *region_of(const struct memory *memory, uint64_t offset)
{
	const struct region *region = memory->region;

	while (offset >= region->offset + region->size)
		region++;
	return region;
}

uint8_t *memory_at(const struct memory *memory, uint64_t offset)
{
	const struct region *region = region_of(memory, offset);

	return region->base + (offset - region->offset);
}

uint64_t memory_left(const struct memory *memory, uint64_t offset)
{
	const struct region *region = region_of(memory, offset);

	return region->offset + region->size - offset;
}

int memory_give_up(const struct memory *memory, uint64_t offset, uint64_t length)
{
	uint8_t *start = memory_at(memory, offset);

	if (memory->memfd >= 0)
		return madvise(start, length, MADV_REMOVE) < 0 ? errno : 0;
	if (!memory->remaps)
		return madvise(start, length, MADV_DONTNEED) < 0 ? errno : 0;

	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	if (memory->page_size == HUGE_PAGE)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	return mmap(start, length, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ? errno : 0;
}
