/*
 * probe NAME [ARGUMENT] - looks at what a program can see of itself, and prints it. Run without and
 * with the shim the output must be the same. What is wrong by itself ends with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MIB (1024ul * 1024)
#define BIG (8 * MIB)

extern char **environ;

static _Noreturn void fail(const char *what)
{
	printf("FAILED: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static unsigned char *map_big(void)
{
	unsigned char *base =
		mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		fail("mmap");
	return base;
}

/* Writes a number to each page and reads all back; 0 pages must have been 0. */
static uint64_t use(unsigned char *base, size_t length)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < length; at += PAGE) {
		if (base[at + 7] != 0)
			fail("fresh memory is not zero");
		base[at + 7] = (unsigned char)(at / PAGE);
	}
	for (size_t at = 0; at < length; at += PAGE)
		sum += base[at + 7];
	return sum;
}

static int at_start_errno = -1;

static int probe_descriptors(void)
{
	int fd;

	for (fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("open: %d\n", fd);
	fd = open("/dev/null", O_RDONLY);
	use(map_big(), BIG);
	printf("next: %d %d\n", fd, open("/dev/null", O_RDONLY));
	return 0;
}

static int probe_children(void)
{
	int status;
	pid_t pid;

	use(map_big(), BIG);
	printf("wait: %d", (int)waitpid(-1, &status, 0));
	printf(" %s\n", strerror(errno));
	printf("nohang: %d", (int)waitpid(-1, &status, WNOHANG));
	printf(" %s\n", strerror(errno));
	pid = fork();
	if (pid == 0)
		_exit(7);
	printf("own child: %d", wait(&status) == pid);
	printf(" status %d\n", WEXITSTATUS(status));
	printf("after: %d", (int)wait(&status));
	printf(" %s\n", strerror(errno));
	return 0;
}

static int probe_errno(void)
{
	void *base;

	printf("at start: %d\n", at_start_errno);
	errno = 4711;
	base = map_big();
	printf("after mmap: %d\n", errno);
	use(base, BIG);
	printf("after use: %d\n", errno);
	munmap(base, BIG);
	errno = 4711;
	free(malloc(3 * MIB));
	printf("after malloc: %d\n", errno);
	errno = 0;
	base = mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("length 0: %d %d\n", base == MAP_FAILED, errno);
	base = mmap(NULL, 1ul << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("too long: %d %d\n", base == MAP_FAILED, errno);
	base = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0);
	printf("bad descriptor: %d %d\n", base == MAP_FAILED, errno);
	base = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 0, 17);
	printf("bad offset: %d %d\n", base == MAP_FAILED, errno);
	errno = 0;
	printf("brk: %d", brk((void *)~0xffful));
	printf(" %d\n", errno);
	return 0;
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
	(void)number;
	alarms++;
}

/* read(2) into pages that are not there, while a timer interrupts it all the time. */
static int probe_signals(void)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 500}, {0, 500}};
	struct itimerval never = {0};
	unsigned char *base;
	sigset_t mask;
	uint64_t sum = 0;
	int file = open("/proc/self/exe", O_RDONLY);

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < 32; i++) {
		struct sigaction now;

		sigaction(i, NULL, &now);
		printf("%d:%d%s ", i, sigismember(&mask, i), now.sa_handler == SIG_DFL ? "" : "!");
	}
	printf("\n");
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int round = 0; round < 4 || alarms < 50; round++) {
		base = map_big();
		for (size_t at = 0; at < BIG; at += 64 * 1024) {
			ssize_t got = pread(file, base + at, 4 * PAGE, 0);

			if (got <= 0)
				fail("pread");
			if (memcmp(base + at + 1, "ELF", 3) != 0)
				fail("pread gave something else");
			sum += base[at + 1];
		}
		munmap(base, BIG);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("all alike: %d\n", sum % 'E' == 0);
	return 0;
}

static int probe_heap(void)
{
	static char buffer[BUFSIZ];
	unsigned char *start;
	unsigned char *end;

	/* stdio must not take part of the heap in between. */
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	start = sbrk(0);
	for (int i = 0; i < 256; i++)
		if (sbrk(64 * 1024) == (void *)-1)
			fail("sbrk");
	end = sbrk(0);
	printf("grown by: %td\n", end - start);
	printf("sum: %lu\n", use(start, (size_t)(end - start)));
	sbrk(-(intptr_t)(4 * MIB));
	printf("shrunk: %td\n", (unsigned char *)sbrk(0) - start);
	sbrk(8 * MIB);
	printf("zero again: %lu\n", use(end - 4 * MIB, 8 * MIB));
	printf("the rest: %d %d\n", start[7 + PAGE], start[7 + 200 * PAGE]);
	char **many = malloc(20000 * sizeof(char *));

	for (int i = 0; i < 20000; i++)
		many[i] = calloc(1, (size_t)i % 3000 + 1);
	for (int i = 0; i < 20000; i++)
		free(many[i]);
	free(many);
	return 0;
}

static void print_status(const char *name)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			fputs(line, stdout);
	if (file)
		fclose(file);
}

static int probe_identity(void)
{
	use(map_big(), BIG);
	print_status("Name");
	print_status("Threads");
	print_status("SigBlk");
	print_status("SigIgn");
	print_status("SigCgt");
	print_status("NoNewPrivs");
	print_status("Seccomp");
	print_status("TracerPid");
	printf("session leader: %d, group leader: %d\n", getsid(0) == getpid(),
	       getpgrp() == getpid());
	return 0;
}

static int probe_unshare(void)
{
	use(map_big(), BIG);
	/* EINVAL for a program with threads, which is why the agent is none. */
	printf("unshare(CLONE_NEWUSER): %ld", syscall(SYS_unshare, 0x10000000));
	printf(" %s\n", strerror(errno));
	return 0;
}

static int probe_forks(void)
{
	unsigned char *base = map_big();
	uint64_t sum = use(base, BIG);

	printf("parent: %lu\n", sum);
	for (int i = 0; i < 12; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			pid_t grandchild;
			unsigned char *own;

			for (size_t at = 0; at < BIG; at += PAGE)
				if (base[at + 7] != (unsigned char)(at / PAGE))
					fail("the child sees something else");
			base[7] = 99;
			own = map_big();
			if (use(own, BIG) != sum)
				fail("the child's own memory");
			grandchild = fork();
			if (grandchild == 0) {
				if (base[7] != 99 || own[PAGE + 7] != 1)
					fail("the grandchild sees something else");
				munmap(own, BIG);
				_exit(use(map_big(), BIG) == sum ? 0 : 1);
			}
			if (waitpid(grandchild, &status, 0) != grandchild || status)
				fail("grandchild");
			_exit(i);
		}
		if (waitpid(pid, &status, 0) != pid)
			fail("waitpid");
		printf("child %d: %d\n", i, WEXITSTATUS(status));
	}
	printf("parent's own: %d\n", base[7]);
	return 0;
}

/* From here on nothing may become executable; exec passes that on. */
static int probe_no_new_code(const char *self)
{
	if (prctl(65 /* PR_SET_MDWE */, 1 /* PR_MDWE_REFUSE_EXEC_GAIN */, 0, 0, 0) != 0)
		printf("not known to this kernel\n");
	fflush(stdout);
	execl(self, self, "errno", NULL);
	fail("exec");
}

/* How many children of this process have a task with another user id than this process. */
static int children_with_more_rights(void)
{
	glob_t tasks;
	int count = 0;

	if (glob("/proc/[0-9]*/task/[0-9]*/status", 0, NULL, &tasks) != 0)
		fail("glob");
	for (size_t i = 0; i < tasks.gl_pathc; i++) {
		FILE *file = fopen(tasks.gl_pathv[i], "r");
		unsigned uids[3] = {0};
		char line[256];
		int parent = 0;

		while (file && fgets(line, sizeof(line), file)) {
			sscanf(line, "PPid: %d", &parent);
			sscanf(line, "Uid: %u %u %u", &uids[0], &uids[1], &uids[2]);
		}
		if (file)
			fclose(file);
		if (parent == getpid() &&
		    (uids[0] != getuid() || uids[1] != getuid() || uids[2] != getuid()))
			count++;
	}
	globfree(&tasks);
	return count;
}

/* A server that starts as root and goes on as somebody else must leave no root behind. */
static int probe_drop_rights(void)
{
	gid_t group = 65534;

	if (setgroups(1, &group) || setresgid(group, group, group) ||
	    setresuid(65534, 65534, 65534))
		fail("setresuid");
	for (int i = 0; i < 100 && children_with_more_rights() > 0; i++)
		usleep(50000); /* lint: allowed, pace of a poll with a deadline */
	printf("children with more rights: %d\n", children_with_more_rights());
	printf("sum: %lu\n", use(map_big(), BIG));
	return 0;
}

/* No fork handlers run in this child. */
static int probe_raw_fork(void)
{
	unsigned char *base = map_big();
	uint64_t sum = use(base, BIG);
	int status;
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		unsigned char *own =
			mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		_exit(own != MAP_FAILED && use(own, BIG) == sum && base[PAGE + 7] == 1 ? 5 : 1);
	}
	waitpid((pid_t)pid, &status, 0);
	printf("child: %d\n", WEXITSTATUS(status));
	return 0;
}

static int probe_spawn(void)
{
	char *arguments[] = {"true", NULL};
	unsigned char *base = map_big();
	int status;
	pid_t pid;

	use(base, BIG);
	for (int i = 0; i < 5; i++) {
		if (posix_spawnp(&pid, "true", NULL, NULL, arguments, environ))
			fail("posix_spawnp");
		waitpid(pid, &status, 0);
		printf("spawned: %d\n", status);
	}
	pid = vfork();
	if (pid == 0)
		_exit(3);
	waitpid(pid, &status, 0);
	printf("vforked: %d\n", WEXITSTATUS(status));
	printf("still there: %d\n", base[3 * PAGE + 7]);
	return 0;
}

/* Several programs in one process; the last one prints. */
static int probe_exec(const char *self, const char *depth)
{
	char next[16];
	int left = depth ? atoi(depth) : 5;

	if (use(map_big(), BIG) == 0)
		fail("sum");
	if (left == 0) {
		int status;

		printf("last: %d", (int)waitpid(-1, &status, WNOHANG));
		printf(" %s\n", strerror(errno));
		return 0;
	}
	snprintf(next, sizeof(next), "%d", left - 1);
	execl(self, self, "exec", next, NULL);
	fail("exec");
}

static void *exec_from_thread(void *self)
{
	execl(self, self, "exec", "1", NULL);
	fail("exec");
}

/* The main thread is gone, then another one becomes another program. */
static int probe_thread_exec(char *self)
{
	pthread_t thread;

	use(map_big(), BIG);
	if (pthread_create(&thread, NULL, exec_from_thread, self))
		fail("pthread_create");
	pthread_exit(NULL);
}

static void *use_for_a_while(void *unused)
{
	(void)unused;
	for (int i = 0; i < 30; i++) {
		unsigned char *base = map_big();

		use(base, BIG);
		munmap(base, BIG);
		usleep(50000); /* lint: allowed, pace: the program has to last */
	}
	printf("thread ends\n");
	exit(0);
}

/* The main thread ends long before the program. */
static int probe_main_thread_ends(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, use_for_a_while, NULL))
		fail("pthread_create");
	pthread_exit(NULL);
}

static sigjmp_buf on_bus;

static void bus(int number)
{
	(void)number;
	siglongjmp(on_bus, 1);
}

static bool is_beyond(volatile const unsigned char *address)
{
	if (sigsetjmp(on_bus, 1))
		return true;
	(void)*address;
	return false;
}

static uint64_t digest(const unsigned char *base, size_t length)
{
	uint64_t value = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < length; i++)
		value = (value ^ base[i]) * 0x100000001b3ull;
	return value;
}

/* All that a program may do with a mapped file. The file must not be a multiple of the page size.
 */
static int probe_lazy(const char *path)
{
	struct sigaction action = {.sa_handler = bus};
	int file = open(path, O_RDONLY);
	int both = open(path, O_RDWR);
	struct stat status;
	size_t size, pages;
	unsigned char *base, *copy, *other;

	if (file < 0 || both < 0 || fstat(file, &status))
		fail(path);
	size = (size_t)status.st_size;
	pages = (size + PAGE - 1) & ~(PAGE - 1);
	sigaction(SIGBUS, &action, NULL);

	base = mmap(NULL, size + 4 * PAGE, PROT_READ, MAP_SHARED, file, 0);
	if (base == MAP_FAILED)
		fail("read-only shared");
	printf("shared: %016lx\n", digest(base, size));
	printf("behind the end: %d, beyond: %d\n", base[size], is_beyond(base + pages + 5));
	printf("unmap: %d\n", munmap(base + 16 * PAGE, 16 * PAGE));
	printf("the rest: %016lx\n", digest(base + 32 * PAGE, 32 * PAGE));

	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (copy == MAP_FAILED)
		fail("private");
	memcpy(copy + 5, "mine", 4);
	copy[size - 1] ^= 1;
	printf("private: %016lx\n", digest(copy, size));
	printf("dontneed: %d\n", madvise(copy, pages, MADV_DONTNEED));
	printf("again: %016lx\n", digest(copy, size));
	other = mremap(copy + 64 * PAGE, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       map_big());
	if (other == MAP_FAILED)
		fail("mremap");
	printf("moved: %016lx\n", digest(other, 64 * PAGE));
	madvise(other, 64 * PAGE, MADV_DONTNEED);
	printf("moved again: %016lx\n", digest(other, 64 * PAGE));

	base = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE, file, 3 * PAGE);
	close(file);
	printf("offset: %016lx\n", digest(base, 8 * PAGE));
	printf("protect: %d\n", mprotect(base, PAGE, PROT_READ | PROT_WRITE));
	base[0] = 1;

	/* These must be the file itself. */
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, both, 0);
	other = mmap(NULL, size, PROT_READ, MAP_SHARED, both, 0);
	if (base == MAP_FAILED || other == MAP_FAILED)
		fail("shared");
	base[100] ^= 0x55;
	printf("shared writing is seen: %d\n", other[100] == base[100]);
	base[100] ^= 0x55;
	fflush(stdout);
	if (fork() == 0) {
		printf("child: %016lx\n", digest(copy, 64 * PAGE));
		madvise(copy, 64 * PAGE, MADV_DONTNEED);
		printf("child again: %016lx\n", digest(copy, 64 * PAGE));
		copy = mmap(NULL, size, PROT_READ, MAP_PRIVATE, both, 0);
		printf("child's own: %016lx\n", digest(copy, size));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	return 0;
}

/* Uses memory and a mapped file, half of it before and half of it after a line on standard input;
 * what happens to the manager meanwhile must not be seen. */
static int probe_halves(const char *path)
{
	int file = open(path, O_RDONLY);
	unsigned char *base = map_big();
	unsigned char *mapped = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, file, 0);
	unsigned char *moved;

	if (mapped == MAP_FAILED)
		fail(path);
	moved = mremap(mapped + BIG / 4, BIG / 4, BIG / 4, MREMAP_MAYMOVE | MREMAP_FIXED,
		       map_big());
	if (moved == MAP_FAILED)
		fail("mremap");
	printf("first: %lu %016lx\n", use(base, BIG / 2), digest(mapped, BIG / 4));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	printf("second: %lu", use(base + BIG / 2, BIG / 2));
	printf(" %016lx", digest(mapped + BIG / 2, BIG / 2));
	printf(" %016lx\n", digest(moved, BIG / 4));
	printf("new: %lu\n", use(map_big(), BIG));
	fflush(stdout);
	if (fork() == 0) {
		printf("child: %lu\n", use(map_big(), BIG));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	printf("kept: %d\n", base[5 * PAGE + 7]);
	return 0;
}

/* Forks when told to; the child needs a new page, a page of the parent and one of the file. */
static int probe_fork_later(const char *path)
{
	int file = open(path, O_RDONLY);
	unsigned char *base = map_big();
	unsigned char *mapped = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, file, 0);
	pid_t child;
	int status;

	if (mapped == MAP_FAILED)
		fail(path);
	printf("first: %lu %016lx\n", use(base, BIG / 2), digest(mapped, BIG / 4));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	child = fork();
	if (child == 0) {
		printf("child: %d %lu", base[5 * PAGE + 7], use(base + BIG / 2, BIG / 2));
		printf(" %016lx", digest(mapped + BIG / 2, BIG / 4));
		printf(" %lu\n", use(map_big(), BIG));
		fflush(stdout);
		_exit(4);
	}
	waitpid(child, &status, 0);
	printf("parent: %d %lu %016lx\n", WEXITSTATUS(status), use(base + BIG / 2, BIG / 2),
	       digest(mapped + BIG / 2, BIG / 4));
	return 0;
}

#define OUTAGE_AREAS 20

/* New memory while nobody manages: the first areas may wait for a manager, not each of them. */
static int probe_outage(void)
{
	struct timespec begin, end;

	printf("first: %lu\n", use(map_big(), BIG / 2));
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < OUTAGE_AREAS; i++)
		printf("new: %lu\n", use(map_big(), BIG / 2));
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s\n", end.tv_sec - begin.tv_sec < OUTAGE_AREAS ? "goes on" : "FAILED: waits");
	fflush(stdout);
	/* Until the manager is back: what was managed before is managed again. */
	if (getchar() == EOF)
		return 1;
	printf("later: %lu\n", use(map_big(), BIG));
	return 0;
}

/* One of many that wait at the same input: a byte each. */
static int probe_crowd(void)
{
	char byte;

	printf("first: %lu\n", use(map_big(), MIB));
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		return 1;
	printf("later: %lu\n", use(map_big(), MIB));
	return 0;
}

int main(int count, char **arguments)
{
	const char *name = count > 1 ? arguments[1] : "";
	char *argument = count > 2 ? arguments[2] : NULL;

	at_start_errno = errno;
	if (strcmp(name, "descriptors") == 0)
		return probe_descriptors();
	if (strcmp(name, "children") == 0)
		return probe_children();
	if (strcmp(name, "errno") == 0)
		return probe_errno();
	if (strcmp(name, "signals") == 0)
		return probe_signals();
	if (strcmp(name, "heap") == 0)
		return probe_heap();
	if (strcmp(name, "identity") == 0)
		return probe_identity();
	if (strcmp(name, "unshare") == 0)
		return probe_unshare();
	if (strcmp(name, "forks") == 0)
		return probe_forks();
	if (strcmp(name, "raw-fork") == 0)
		return probe_raw_fork();
	if (strcmp(name, "no-new-code") == 0)
		return probe_no_new_code(arguments[0]);
	if (strcmp(name, "drop-rights") == 0)
		return probe_drop_rights();
	if (strcmp(name, "spawn") == 0)
		return probe_spawn();
	if (strcmp(name, "exec") == 0)
		return probe_exec(arguments[0], argument);
	if (strcmp(name, "thread-exec") == 0)
		return probe_thread_exec(arguments[0]);
	if (strcmp(name, "main-thread-ends") == 0)
		return probe_main_thread_ends();
	if (strcmp(name, "lazy") == 0 && argument)
		return probe_lazy(argument);
	if (strcmp(name, "halves") == 0 && argument)
		return probe_halves(argument);
	if (strcmp(name, "fork-later") == 0 && argument)
		return probe_fork_later(argument);
	if (strcmp(name, "outage") == 0)
		return probe_outage();
	if (strcmp(name, "crowd") == 0)
		return probe_crowd();
	return 64;
}
