#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "program.h"

#define SCRIPT_DEPTH 5 /* the kernel's own limit is 4 interpreters */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

/* As execvp does it: a name with a slash is a path; EACCES is reported only if nothing else is
 * found. */
static int find(const char *name, char *path)
{
	const char *list = getenv("PATH");
	int failure = ENOENT;

	if (strchr(name, '/') || !*name) {
		if (strlen(name) >= PATH_MAX)
			return ENAMETOOLONG;
		strcpy(path, name);
		return access(path, X_OK) == 0 ? 0 : errno;
	}
	if (!list)
		list = "/bin:/usr/bin";
	for (;; list++) {
		size_t length = strcspn(list, ":");
		struct stat status;

		if (length + strlen(name) + 2 <= PATH_MAX) {
			memcpy(path, list, length);
			path[length] = 0;
			strcat(path, length ? "/" : "");
			strcat(path, name);
			if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
				if (access(path, X_OK) == 0)
					return 0;
				failure = EACCES;
			}
		}
		list += length;
		if (!*list)
			return failure;
	}
}

/* "#!interpreter [argument]"; false if it is no script. */
static bool find_interpreter(const char *head, size_t length, char *interpreter)
{
	size_t from = 2;
	size_t to;

	if (length < 3 || head[0] != '#' || head[1] != '!')
		return false;
	while (from < length && (head[from] == ' ' || head[from] == '\t'))
		from++;
	to = from;
	while (to < length && !strchr(" \t\n", head[to]))
		to++;
	if (to == from || to - from >= PATH_MAX)
		return false;
	memcpy(interpreter, head + from, to - from);
	interpreter[to - from] = 0;
	return true;
}

/* A dynamic program names its loader in PT_INTERP. */
static bool has_loader(int fd, const Elf64_Ehdr *header)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr entry;

		if (pread(fd, &entry, sizeof(entry),
			  (off_t)(header->e_phoff + i * sizeof(entry))) != sizeof(entry))
			return false;
		if (entry.p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* The kernel sets AT_SECURE if running the file changes who the process is. The superuser gains
 * nothing by file capabilities. */
static bool changes_identity(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return false;
	if (status.st_mode & S_ISUID && status.st_uid != geteuid())
		return true;
	if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	    status.st_gid != getegid())
		return true;
	return geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

int program_examine(const char *name, struct program *program)
{
	int result;

	*program = (struct program){0};
	result = find(name, program->path);
	if (result)
		return result;
	strcpy(program->interpreted, program->path);
	for (int depth = 0; depth < SCRIPT_DEPTH; depth++) {
		union {
			Elf64_Ehdr header;
			char text[PATH_MAX];
		} head;
		int fd = open(program->interpreted, O_RDONLY | O_CLOEXEC);
		ssize_t length;

		if (fd < 0) {
			/* Executable but not readable: no way to tell. */
			program->is_foreign = true;
			return depth == 0 && errno == EACCES ? 0 : errno;
		}
		length = pread(fd, &head, sizeof(head), 0);
		if (length > 0 &&
		    find_interpreter(head.text, (size_t)length, program->interpreted)) {
			close(fd);
			continue;
		}
		/* execvp gives a text without "#!" to the shell. */
		if (depth == 0 && (length < SELFMAG || memcmp(head.text, ELFMAG, SELFMAG) != 0)) {
			strcpy(program->interpreted, "/bin/sh");
			close(fd);
			continue;
		}
		if (length < (ssize_t)sizeof(head.header) ||
		    memcmp(head.header.e_ident, ELFMAG, SELFMAG) != 0 ||
		    head.header.e_ident[EI_CLASS] != ELFCLASS64 ||
		    head.header.e_machine != OUR_MACHINE)
			program->is_foreign = true;
		else
			program->is_static = !has_loader(fd, &head.header);
		program->is_secure = changes_identity(fd);
		close(fd);
		return 0;
	}
	return ELOOP;
}
