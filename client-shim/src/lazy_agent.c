#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "lazy.h"

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1);
}

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	*to = 0;
	return to;
}

static char *put_number(char *to, int number)
{
	char digits[12];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (count > 0)
		*to++ = digits[--count];
	*to = 0;
	return to;
}

static int is_file(long fd, uint64_t device, uint64_t inode)
{
	struct stat status;

	return fd >= 0 && sys2(SYS_fstat, fd, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

/* Opens what a task has open as `fd`, by a description of its own, so that neither offset nor locks
 * are shared. Takes the right to look into the task and to read the file. */
static long open_of(int proc, int task, int fd, int flags)
{
	char path[48];

	put_number(put_text(put_number(path, task), "/fd/"), fd);
	return sys4(SYS_openat, proc, path, flags | O_CLOEXEC, 0);
}

static long open_checked(int proc, int task, int fd, int flags, uint64_t device, uint64_t inode)
{
	long file = fd >= 0 ? open_of(proc, task, fd, flags) : -EBADF;

	if (file < 0 || is_file(file, device, inode))
		return file;
	sys1(SYS_close, file);
	return -ESTALE;
}

/* The second way shares the program's description; it needs no right to the file itself, which a
 * program that has given up its user id may lack. */
static long file_of_hook(int proc, const struct shim_slot *slot)
{
	long file = open_checked(proc, slot->task, slot->file, O_RDONLY, slot->device, slot->inode);
	long process;

	if (file >= 0)
		return file;
	process = sys2(SYS_pidfd_open, slot->process, 0);
	if (process < 0)
		return file;
	file = sys3(SYS_pidfd_getfd, process, slot->file, 0);
	sys1(SYS_close, process);
	if (file < 0 || is_file(file, slot->device, slot->inode))
		return file;
	sys1(SYS_close, file);
	return -ESTALE;
}

/* A file that has another size by now gets another stub: to grow one would bring pages into
 * mappings that were made before, and to shrink it would take the program's private copies away. */
static struct shim_file *find_file(uint64_t device, uint64_t inode, uint64_t size)
{
	for (uint32_t i = 0; i < shim_area->files_used; i++) {
		struct shim_file *file = &shim_area->files[i];

		if (file->used && file->device == device && file->inode == inode &&
		    file->size == size && file->stub >= 0 && file->file >= 0)
			return file;
	}
	return NULL;
}

static int make_stub(struct shim_file *file, uint64_t size)
{
	struct stat status;
	long stub = sys2(SYS_memfd_create, "uffd-lazy", MFD_CLOEXEC);

	if (stub < 0)
		return (int)stub;
	if (sys2(SYS_ftruncate, stub, size) != 0 || sys2(SYS_fstat, stub, &status) != 0) {
		sys1(SYS_close, stub);
		return -EIO;
	}
	file->stub = (int)stub;
	file->stub_device = status.st_dev;
	file->stub_inode = status.st_ino;
	file->size = size;
	return 0;
}

static int add_file(int proc, const struct shim_slot *slot, struct shim_file **added)
{
	struct shim_file *file;
	long fd;
	int result;

	if (shim_area->files_used == SHIM_FILES)
		return -ENFILE;
	fd = file_of_hook(proc, slot);
	if (fd < 0)
		return (int)fd;
	file = &shim_area->files[shim_area->files_used];
	result = make_stub(file, slot->size);
	if (result) {
		sys1(SYS_close, fd);
		return result;
	}
	file->file = (int)fd;
	file->device = slot->device;
	file->inode = slot->inode;
	for (size_t i = 0; i < sizeof(file->path) - 1 && (i == 0 || file->path[i - 1]); i++)
		file->path[i] = slot->path[i];
	/* A fork at any moment copies either no entry or a whole one. */
	__atomic_store_n(&file->used, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&shim_area->files_used, shim_area->files_used + 1, __ATOMIC_RELEASE);
	*added = file;
	return 0;
}

int lazy_map(int socket, int proc, const struct shim_slot *slot, struct wire_events *events)
{
	struct shim_file *file = find_file(slot->device, slot->inode, slot->size);
	struct wire_register range = {
		.start = slot->start,
		.offset = slot->offset,
		.flags = UFFDM_REGISTER_SOURCE_FD | UFFDM_REGISTER_REMOVE_MEANS_SOURCE,
	};
	uint64_t in_file = whole_pages(slot->size - slot->offset);
	long result = 0;

	if (!file)
		result = add_file(proc, slot, &file);
	if (result)
		return (int)result;
	result = sys_mmap((void *)slot->start, slot->length, slot->prot,
			  MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file->stub, slot->offset);
	if (sys_is_error(result))
		return (int)result;
	/* Whoever looks at it before it is registered brings pages of zeros into the stub. With
	 * huge ones they would be in other mappings of it as well until lazy_wipe. */
	sys3(SYS_madvise, slot->start, slot->length, MADV_NOHUGEPAGE);
	range.length = slot->length < in_file ? slot->length : in_file;
	range.file = file->file;
	return wire_register(socket, &range, events);
}

void lazy_unmap(const struct shim_slot *slot)
{
	const struct shim_file *file = find_file(slot->device, slot->inode, slot->size);

	/* Without an entry the stub was never mapped. */
	if (file)
		sys_mmap((void *)slot->start, slot->length, slot->prot, slot->flags | MAP_FIXED,
			 file->file, slot->offset);
}

void lazy_wipe(const struct shim_slot *slot)
{
	const struct shim_file *file = find_file(slot->device, slot->inode, slot->size);

	/* All of it: as a huge page, what was read has brought others around it. */
	if (file && sys3(SYS_lseek, file->stub, 0, SEEK_DATA) >= 0)
		sys4(SYS_fallocate, file->stub, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		     whole_pages(file->size));
}

/* ---- after a fork ---- */

void lazy_inherit(int proc)
{
	int parent = shim_area->files_owner;

	shim_area->files_owner = (int)sys0(SYS_getpid);
	if (parent == 0)
		return;
	for (uint32_t i = 0; i < shim_area->files_used; i++) {
		struct shim_file *file = &shim_area->files[i];
		long fd =
			open_checked(proc, parent, file->file, O_RDONLY, file->device, file->inode);

		if (fd < 0) {
			fd = sys4(SYS_openat, AT_FDCWD, file->path, O_RDONLY | O_CLOEXEC, 0);
			if (fd >= 0 && !is_file(fd, file->device, file->inode)) {
				sys1(SYS_close, fd);
				fd = -ESTALE;
			}
		}
		file->file = (int)fd;
		file->stub = (int)open_checked(proc, parent, file->stub, O_RDWR, file->stub_device,
					       file->stub_inode);
	}
}

/* ---- after the manager was away ---- */

/* One mapping as /proc/self/smaps shows it. */
struct mapping {
	uint64_t start, end, offset;
	uint64_t device, inode;
	bool registered;
};

struct lines {
	int fd;
	int failure; /* negative errno: these are not all lines */
	size_t used, at;
	char buffer[4096];
	char line[256]; /* what is longer is cut: only paths are */
};

static bool next_line(struct lines *lines)
{
	size_t length = 0;

	for (;;) {
		if (lines->at == lines->used) {
			long count =
				sys3(SYS_read, lines->fd, lines->buffer, sizeof(lines->buffer));

			if (count <= 0) {
				lines->failure = (int)count;
				return false;
			}
			lines->used = (size_t)count;
			lines->at = 0;
		}
		char next = lines->buffer[lines->at++];

		if (next == '\n')
			break;
		if (length < sizeof(lines->line) - 1)
			lines->line[length++] = next;
	}
	lines->line[length] = 0;
	return true;
}

static const char *take_number(const char *text, unsigned base, uint64_t *number)
{
	*number = 0;
	for (;; text++) {
		unsigned digit = *text >= '0' && *text <= '9'	? (unsigned)(*text - '0')
				 : *text >= 'a' && *text <= 'f' ? (unsigned)(*text - 'a' + 10)
								: 16;

		if (digit >= base)
			return text;
		*number = *number * base + digit;
	}
}

/* "start-end perms offset major:minor inode path"; the lines of details begin with a capital. */
static bool parse_mapping(const char *line, struct mapping *mapping)
{
	uint64_t major, minor;

	if (*line >= 'A' && *line <= 'Z')
		return false;
	line = take_number(line, 16, &mapping->start);
	if (*line != '-')
		return false;
	line = take_number(line + 1, 16, &mapping->end);
	while (*line == ' ')
		line++;
	while (*line && *line != ' ')
		line++;
	line = take_number(line + 1, 16, &mapping->offset);
	line = take_number(line + 1, 16, &major);
	line = take_number(line + 1, 16, &minor);
	take_number(line + 1, 10, &mapping->inode);
	mapping->device = (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xffull) << 12 |
			  (major & ~0xfffull) << 32;
	mapping->registered = false;
	return true;
}

/* "VmFlags: rd wr ... um ...": um = userfaultfd, missing. */
static bool is_registered(const char *line)
{
	if (line[0] != 'V' || line[1] != 'm' || line[2] != 'F')
		return false;
	for (; *line; line++)
		if (line[0] == ' ' && line[1] == 'u' && line[2] == 'm')
			return true;
	return false;
}

static int register_mapping(int socket, int program_fd, const struct mapping *mapping)
{
	struct wire_register range = {
		.start = mapping->start,
		.length = mapping->end - mapping->start,
	};
	struct wire_events events = {0};

	for (uint32_t i = 0; mapping->inode != 0 && i < shim_area->files_used; i++) {
		const struct shim_file *file = &shim_area->files[i];

		if (file->stub_device != mapping->device || file->stub_inode != mapping->inode)
			continue;
		range.flags = UFFDM_REGISTER_SOURCE_FD | UFFDM_REGISTER_REMOVE_MEANS_SOURCE;
		range.offset = mapping->offset;
		range.file = file->file;
	}
	if (range.flags == 0)
		return 0;
	/* Nobody has the file any more that this memory shows. */
	if (range.file < 0) {
		sys4(SYS_pidfd_send_signal, program_fd, SIGKILL, NULL, 0);
		return -ESTALE;
	}
	return wire_register(socket, &range, &events);
}

int lazy_register_again(int socket, int program_fd)
{
	/* Also if it is not registered any more, as after a manager that stopped in order: the next
	 * fork needs it. This process never touches the page, so it is missing in any case. */
	const struct wire_register mailbox = {
		.start = (uint64_t)(uintptr_t)shim_area->mailbox,
		.length = SHIM_PAGE,
		.flags = UFFDM_REGISTER_MAILBOX,
	};
	struct wire_events events = {0};
	struct lines lines = {0};
	struct mapping mapping = {0};
	int result = wire_register(socket, &mailbox, &events);

	if (result == -EPIPE)
		return result;
	result = 0;
	lines.fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0);
	if (lines.fd < 0)
		return shim_area->files_used == 0 ? 0 : lines.fd;
	while (result == 0 && next_line(&lines))
		if (!parse_mapping(lines.line, &mapping) && is_registered(lines.line))
			result = register_mapping(socket, program_fd, &mapping);
	sys1(SYS_close, lines.fd);
	return result ? result : lines.failure;
}
