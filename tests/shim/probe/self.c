/* self.c - what a program sees of itself: descriptors, children, errno, signals, status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

int probe_descriptors(void)
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

int probe_children(void)
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

int probe_errno(void)
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
int probe_signals(void)
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

int probe_identity(void)
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

int probe_unshare(void)
{
	use(map_big(), BIG);
	/* EINVAL for a program with threads, which is why the agent is none. */
	printf("unshare(CLONE_NEWUSER): %ld", syscall(SYS_unshare, 0x10000000));
	printf(" %s\n", strerror(errno));
	return 0;
}
