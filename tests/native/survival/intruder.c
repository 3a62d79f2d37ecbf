/*
 * uffd-survival-intruder - stands between a supervisor and the daemon, and damages what is passed
 *on.
 *
 *	uffd-survival-intruder PLAN COMMAND [ARGUMENT...]
 *
 * Becomes COMMAND. If the file PLAN exists, it is removed, and its lines are carried out first:
 *	noise NAME OFFSET LENGTH   changes bytes of the memfd of that name (LENGTH 0: to its end)
 *	cut NAME LENGTH            makes the memfd shorter
 *	drop NAME KIND             leaves a descriptor out; KIND is uffd, pidfd, memfd or any
 *	add NAME KIND              passes one more of that name; KIND is uffd, memfd, null or
 *pidfd:PID rename NAME NAME           gives all descriptors of one name the other name, and the
 *reverse A NAME that ends with * is the first name that begins so. What the supervisor itself keeps
 *stays as it is: a memfd is replaced by a changed copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST 3
#define MAX_DESCRIPTORS 4096

static char *names[MAX_DESCRIPTORS];
static int count;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "uffd-survival-intruder: %s: %s\n", what, strerror(errno));
	exit(70);
}

static bool is_name(const char *name, const char *pattern)
{
	size_t length = strlen(pattern);

	if (length > 0 && pattern[length - 1] == '*')
		return strncmp(name, pattern, length - 1) == 0;
	return strcmp(name, pattern) == 0;
}

static bool is_kind(int fd, const char *kind)
{
	char path[40], target[256];
	ssize_t length;

	if (strcmp(kind, "any") == 0)
		return true;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	if (strcmp(kind, "uffd") == 0)
		return strstr(target, "[userfaultfd]");
	if (strcmp(kind, "pidfd") == 0)
		return strstr(target, "[pidfd]") || strncmp(target, "pidfd:", 6) == 0;
	return strncmp(target, "/memfd:", 7) == 0;
}

static int find(const char *name, const char *kind)
{
	for (int fd = FIRST; fd < FIRST + count; fd++)
		if (is_name(names[fd - FIRST], name) && is_kind(fd, kind))
			return fd;
	fprintf(stderr, "uffd-survival-intruder: there is no %s of %s\n", kind, name);
	exit(70);
}

/* A copy of the memfd's first `length` bytes takes its place; it is mapped. */
static unsigned char *replace(int fd, size_t length)
{
	struct stat status;
	int copy = memfd_create("uffd-survival-copy", 0);

	if (fstat(fd, &status) < 0 || copy < 0 || ftruncate(copy, (off_t)length) < 0)
		die("memfd");
	size_t kept = length < (size_t)status.st_size ? length : (size_t)status.st_size;
	unsigned char *from =
		kept ? mmap(NULL, kept, PROT_READ, MAP_SHARED, fd, 0) : (unsigned char *)"";
	unsigned char *to = length ? mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0)
				   : (unsigned char *)"";

	if (from == MAP_FAILED || to == MAP_FAILED)
		die("mmap");
	/* State memories are large and mostly holes. */
	for (size_t at = 0; at < kept;) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

		if (data < 0 || (size_t)data >= kept)
			break;
		if ((size_t)hole > kept)
			hole = (off_t)kept;
		memcpy(to + data, from + data, (size_t)(hole - data));
		at = (size_t)hole;
	}
	if (dup2(copy, fd) < 0)
		die("dup2");
	close(copy);
	return to;
}

static void noise(const char *name, size_t offset, size_t length)
{
	struct stat status;
	int fd = find(name, "memfd");

	if (fstat(fd, &status) < 0)
		die("fstat");
	size_t size = (size_t)status.st_size;
	/* Behind what was ever written there is nothing to damage. */
	off_t end = (off_t)offset;

	for (off_t data; (data = lseek(fd, end, SEEK_DATA)) >= 0;)
		end = lseek(fd, data, SEEK_HOLE);
	if (length == 0)
		length = (size_t)end > offset ? (size_t)end - offset : 0;
	if (offset + length > size || length == 0) {
		fprintf(stderr, "uffd-survival-intruder: %s has %zu bytes\n", name, size);
		exit(70);
	}
	unsigned char *bytes = replace(fd, size);

	for (size_t i = 0; i < length; i++)
		bytes[offset + i] ^= (unsigned char)(i * 31 + 1) | 1;
}

static void drop(const char *name, const char *kind)
{
	int fd = find(name, kind);

	for (int next = fd; next < FIRST + count - 1; next++) {
		if (dup2(next + 1, next) < 0)
			die("dup2");
		names[next - FIRST] = names[next + 1 - FIRST];
	}
	close(FIRST + --count);
}

static void add(const char *name, const char *kind)
{
	int fd = -1;

	if (strcmp(kind, "null") == 0)
		fd = open("/dev/null", O_RDWR);
	else if (strcmp(kind, "memfd") == 0)
		fd = memfd_create("uffd-survival-extra", 0);
	else if (strcmp(kind, "uffd") == 0)
		fd = (int)syscall(SYS_userfaultfd, O_NONBLOCK);
	else if (strncmp(kind, "pidfd:", 6) == 0)
		fd = (int)syscall(SYS_pidfd_open, atoi(kind + 6), 0);
	if (fd < 0 || count == MAX_DESCRIPTORS)
		die(kind);
	if (fd != FIRST + count) {
		if (dup2(fd, FIRST + count) < 0)
			die("dup2");
		close(fd);
	} else {
		fcntl(fd, F_SETFD, 0);
	}
	names[count++] = strdup(name);
}

static void rename_both(const char *one, const char *other)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], one) == 0)
			names[i] = strdup(other);
		else if (strcmp(names[i], other) == 0)
			names[i] = strdup(one);
	}
}

static void carry_out(char *line)
{
	char verb[16] = "", name[256] = "", what[256] = "";
	size_t length = 0;
	int words = sscanf(line, "%15s %255s %255s %zu", verb, name, what, &length);

	if (strcmp(verb, "noise") == 0 && words == 4)
		noise(name, strtoull(what, NULL, 0), length);
	else if (strcmp(verb, "cut") == 0 && words == 3)
		replace(find(name, "memfd"), strtoull(what, NULL, 0));
	else if (strcmp(verb, "drop") == 0 && words == 3)
		drop(name, what);
	else if (strcmp(verb, "add") == 0 && words == 3)
		add(name, what);
	else if (strcmp(verb, "rename") == 0 && words == 3)
		rename_both(name, what);
	else if (words > 0) {
		fprintf(stderr, "uffd-survival-intruder: cannot do '%s'\n", line);
		exit(70);
	}
}

static void read_environment(void)
{
	const char *number = getenv("LISTEN_FDS");
	char *list = getenv("LISTEN_FDNAMES");

	count = number ? atoi(number) : 0;
	list = list ? strdup(list) : NULL;
	for (int i = 0; i < count; i++)
		names[i] = list ? strsep(&list, ":") : "unknown";
}

static void write_environment(void)
{
	static char list[MAX_DESCRIPTORS * 24];
	char number[16];
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%s",
					   i ? ":" : "", names[i]);
	snprintf(number, sizeof(number), "%d", count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", list, 1);
}

int main(int argc, char **argv)
{
	char line[512];

	if (argc < 3) {
		fprintf(stderr, "usage: uffd-survival-intruder PLAN COMMAND [ARGUMENT...]\n");
		return 64;
	}
	/* The plan must not take a number that belongs to somebody else. */
	int plan = open(argv[1], O_RDONLY | O_CLOEXEC);

	if (plan >= 0) {
		int high = fcntl(plan, F_DUPFD_CLOEXEC, FIRST + MAX_DESCRIPTORS);
		FILE *file = high < 0 ? NULL : fdopen(high, "r");

		if (!file)
			die(argv[1]);
		close(plan);
		read_environment();
		while (fgets(line, sizeof(line), file))
			carry_out(line);
		fclose(file);
		write_environment();
		unlink(argv[1]);
	}
	execvp(argv[2], argv + 2);
	die(argv[2]);
}
