/* programs.c - children, other programs, other rights, and threads that outlive the first. */
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

int probe_forks(void)
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

/* No fork handlers run in this child. */
int probe_raw_fork(void)
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

/* From here on nothing may become executable; exec passes that on. */
int probe_no_new_code(const char *self)
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
int probe_drop_rights(void)
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

int probe_spawn(void)
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
int probe_exec(const char *self, const char *depth)
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
int probe_thread_exec(char *self)
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
int probe_main_thread_ends(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, use_for_a_while, NULL))
		fail("pthread_create");
	pthread_exit(NULL);
}
