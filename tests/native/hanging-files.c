/*
 * A file system that does not answer, for tests of who waits for it.
 *
 * usage: hanging-files DIRECTORY
 *
 * Mounts itself there, says "mounted", and serves until it is killed, or nobody reads what it says
 * any more: the test has ended, in whatever way, and the mount goes with it. It has a file,
 * memfd:guest/f, whose close(2) waits for ever (FLUSH), as does fstatfs(2); a file, memory, of
 * which no byte can be read, ever; and a name, hang, that is looked up for ever. Everything that
 * waits fails when the program ends.
 *
 * When memfd:guest/f has been opened the file system is taken out of the tree: names in it begin at
 * its root then, as those of another mount namespace do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MEMORY_BYTES (64 << 10)

enum node { NODE_ROOT = FUSE_ROOT_ID, NODE_FOLDER, NODE_FILE, NODE_MEMORY };

static int device;
static const char *place;

static void answer(const struct fuse_in_header *request, int error, const void *body, size_t length)
{
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + length),
		.error = -error,
		.unique = request->unique,
	};
	struct iovec parts[] = {
		{&header, sizeof(header)},
		{(void *)body, length},
	};

	/* ENOENT: whoever asked has been interrupted. */
	if (writev(device, parts, length ? 2 : 1) < 0 && errno != ENOENT)
		perror("hanging-files: write");
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == NODE_MEMORY ? MEMORY_BYTES : 0,
		.blocks = node == NODE_MEMORY ? MEMORY_BYTES / 512 : 0,
		.mode = node >= NODE_FILE ? S_IFREG | 0644 : S_IFDIR | 0755,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void look_up(const struct fuse_in_header *request, const char *name)
{
	struct fuse_entry_out entry = {0};

	if (strcmp(name, "hang") == 0)
		return;
	if (request->nodeid == NODE_ROOT && strcmp(name, "memfd:guest") == 0)
		entry.nodeid = NODE_FOLDER;
	else if (request->nodeid == NODE_FOLDER && strcmp(name, "f") == 0)
		entry.nodeid = NODE_FILE;
	else if (request->nodeid == NODE_ROOT && strcmp(name, "memory") == 0)
		entry.nodeid = NODE_MEMORY;
	else {
		answer(request, ENOENT, NULL, 0);
		return;
	}
	entry.attr = attributes(entry.nodeid);
	answer(request, 0, &entry, sizeof(entry));
}

/* Whether there is a request, sooner or later. */
static int await_request(void)
{
	struct pollfd polled[] = {
		{.fd = device, .events = POLLIN},
		{.fd = STDOUT_FILENO},
	};

	while (poll(polled, 2, -1) < 0) {
		if (errno != EINTR)
			return 0;
	}
	return !(polled[1].revents & POLLERR);
}

static void serve(const struct fuse_in_header *request, const void *body)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = 4096,
		.max_background = 16,
		.congestion_threshold = 12,
		.max_write = 4096,
	};
	struct fuse_attr_out attr = {.attr = attributes(request->nodeid)};
	struct fuse_open_out open_out = {0};
	struct fuse_statfs_out statfs_out = {.st = {.bsize = 4096, .namelen = 255}};

	switch (request->opcode) {
	case FUSE_INIT:
		answer(request, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		look_up(request, body);
		break;
	case FUSE_GETATTR:
		answer(request, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(request, 0, &open_out, sizeof(open_out));
		if (request->nodeid == NODE_FILE && umount2(place, MNT_DETACH) < 0)
			perror("hanging-files: umount");
		break;
	case FUSE_OPENDIR:
		answer(request, 0, &open_out, sizeof(open_out));
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		answer(request, 0, NULL, 0);
		break;
	case FUSE_FLUSH:
		if (request->nodeid == NODE_MEMORY)
			answer(request, 0, NULL, 0);
		break;
	case FUSE_STATFS:
		if (request->nodeid == NODE_MEMORY)
			answer(request, 0, &statfs_out, sizeof(statfs_out));
		break;
	case FUSE_READ:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(request, ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static _Alignas(struct fuse_in_header) char buffer[FUSE_MIN_READ_BUFFER + 4096];
	char options[96];

	if (argc != 2)
		return 64;
	place = argv[1];
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0) {
		perror("hanging-files: /dev/fuse");
		return 71;
	}
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (mount("hanging-files", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		perror("hanging-files: mount");
		return 71;
	}
	puts("mounted");
	fflush(stdout);
	while (await_request()) {
		ssize_t length = read(device, buffer, sizeof(buffer));

		if (length >= (ssize_t)sizeof(struct fuse_in_header))
			serve((const struct fuse_in_header *)buffer,
			      buffer + sizeof(struct fuse_in_header));
		else if (errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return errno == ENODEV ? 0 : 71;
	}
	umount2(place, MNT_DETACH);
	return 0;
}
