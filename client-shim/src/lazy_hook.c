#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "lazy.h"

#define NEVER_LAZY                                                                                 \
	(MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED | MAP_HUGETLB | MAP_GROWSDOWN | MAP_POPULATE)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Whether private pages are as good as the file's own: the program writes to a copy anyway, or may
 * never write, not even after mprotect. */
static bool is_read_like(int prot, int flags, int file)
{
	int type = flags & MAP_TYPE;

	if (type == MAP_PRIVATE)
		return true;
	if (prot & PROT_WRITE || (type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
		return false;
	long mode = sys3(SYS_fcntl, file, F_GETFL, 0);

	return mode >= 0 && (mode & O_ACCMODE) == O_RDONLY;
}

/* The descriptor's path goes into the slot: a hook may run on a signal stack of a few KiB. */
static bool read_path(struct shim_slot *slot, int file)
{
	char link[32] = "/proc/self/fd/";
	char digits[12];
	char *end = link + 14;
	int count = 0;
	long length;

	do
		digits[count++] = (char)('0' + file % 10);
	while ((file /= 10) > 0);
	while (count > 0)
		*end++ = digits[--count];
	*end = 0;
	length = sys4(SYS_readlinkat, AT_FDCWD, link, slot->path, sizeof(slot->path) - 1);
	if (length <= 0)
		return false;
	slot->path[length] = 0;
	return length < (long)sizeof(slot->path) - 1;
}

static bool is_below(const char *path, const struct shim_prefix *prefix)
{
	for (uint32_t i = 0; i < prefix->length; i++)
		if (path[i] != prefix->text[i])
			return false;
	return prefix->text[prefix->length - 1] == '/' || path[prefix->length] == '/' ||
	       path[prefix->length] == 0;
}

bool lazy_is_wanted(struct shim_slot *slot, size_t length, int prot, int flags, int file,
		    uint64_t offset)
{
	const struct shim_config *config = &shim_area->config;
	bool below = false;
	struct stat status;

	if (flags & (NEVER_LAZY | MAP_FIXED_NOREPLACE) || prot & PROT_EXEC || file < 0 ||
	    length == 0 || !is_read_like(prot, flags, file))
		return false;
	if (sys2(SYS_fstat, file, &status) != 0 || !S_ISREG(status.st_mode) ||
	    offset >= (uint64_t)status.st_size || !read_path(slot, file))
		return false;
	/* What reaches beyond the end of the file would follow the file when it grows; a stub
	 * cannot. */
	if (length > (((uint64_t)status.st_size - offset + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1)))
		return false;
	for (uint32_t i = 0; i < config->prefixes && !below; i++)
		below = is_below(slot->path, &config->prefix[i]);
	if (!below)
		return false;
	slot->kind = SHIM_MAP_LAZY;
	slot->process = (int)sys0(SYS_getpid);
	slot->length = (length + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1);
	slot->offset = offset;
	slot->size = (uint64_t)status.st_size;
	slot->device = status.st_dev;
	slot->inode = status.st_ino;
	slot->file = file;
	slot->prot = prot;
	slot->flags = flags;
	return true;
}
