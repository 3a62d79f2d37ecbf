/*
 * A process whose memory somebody else serves, driven by a test.
 *
 *	uffd-client SOCKET
 *
 * It connects to SOCKET (SOCK_SEQPACKET), says "hello PID" and then takes commands: one message "ID
 *THREAD COMMAND ARGUMENT...", answered by one message "ID ok VALUE...", "ID err ERRNO" or "ID sig
 *SIGNAL CODE ADDRESS" (the command ran into a SIGBUS or SIGSEGV). A descriptor travels with the
 *message that speaks of it. Numbers are taken in any base and answered in decimal.
 *
 * The main thread only hands commands to worker threads, which come into being when first named, so
 *that a worker which sleeps in a page fault keeps nobody else from being commanded, and the end of
 *the connection always ends the process. A forked child connects anew and is a process of its own
 *to the test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

enum { MAX_MESSAGE = 512, MAX_WORKERS = 128, MAX_ARGS = 8 };

struct command {
	char text[MAX_MESSAGE];
	int fd; /* came with the message, or -1 */
};

struct context {
	const char *id;
	int fd;	     /* came with the command; the command takes it by setting -1 */
	int send_fd; /* goes out with the reply, stays open here; or -1 */
	int argc;
	uint64_t arg[MAX_ARGS];
	char *word[MAX_ARGS];
	char reply[MAX_MESSAGE];
};

struct verb {
	const char *name;
	int min_args;
	/* 0 with the reply's values printed, or -1 with errno. */
	int (*run)(struct context *c);
};

static const char *socket_path;
static int channel = -1;
static int
	workers[MAX_WORKERS]; /* our end of each worker's command socket, 0 while there is none */

static __thread sigjmp_buf on_signal;
static __thread volatile sig_atomic_t guarded;
static __thread siginfo_t caught;

static void die(const char *what)
{
	perror(what);
	_exit(70);
}

static void catch_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!guarded) {
		struct sigaction plain = {.sa_handler = SIG_DFL};

		sigaction(signal, &plain, NULL);
		return; /* the access repeats and kills */
	}
	caught = *info;
	siglongjmp(on_signal, 1);
}

/* ---- messages ---- */

static void send_message(int to, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	while (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(0); /* the test has gone */
}

static int receive_message(int from, struct command *command)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {.iov_base = command->text, .iov_len = MAX_MESSAGE - 1};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t length;

	while ((length = recvmsg(from, &message, MSG_CMSG_CLOEXEC)) < 0)
		if (errno != EINTR)
			return -1;
	if (length == 0)
		return -1;
	command->text[length] = '\0';
	command->fd = -1;
	if (message.msg_controllen >= sizeof(struct cmsghdr) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&command->fd, CMSG_DATA(&control.header), sizeof(int));
	return 0;
}

__attribute__((format(printf, 2, 3))) static int answer(struct context *c, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(c->reply, sizeof(c->reply), format, list);
	va_end(list);
	return 0;
}

static int result(struct context *c, long value)
{
	return value == -1 ? -1 : answer(c, "%ld", value);
}

/* ---- memory ---- */

static volatile unsigned char *byte_at(uint64_t address)
{
	return (volatile unsigned char *)(uintptr_t)address;
}

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

/* map KIND LENGTH [PROT]: address, and the memfd or -1 */
static int do_map(struct context *c)
{
	const char *kind = c->word[0];
	size_t length = c->arg[1];
	int prot = c->argc > 2 ? (int)c->arg[2] : PROT_READ | PROT_WRITE;
	int huge = strncmp(kind, "hugetlb", 7) == 0;
	int shared = strstr(kind, "shared") != NULL;
	int flags = (shared ? MAP_SHARED : MAP_PRIVATE);
	int fd = -1;
	void *address;

	if (strstr(kind, "memfd")) {
		fd = memfd_create("uffd-client", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0));
		if (fd < 0 || ftruncate(fd, (off_t)length) < 0)
			return -1;
	} else {
		flags |= MAP_ANONYMOUS | MAP_NORESERVE | (huge ? MAP_HUGETLB : 0);
		if (huge && !strstr(kind, "noreserve"))
			flags &= ~MAP_NORESERVE;
	}
	address = mmap(NULL, length, prot, flags, fd, 0);
	if (address == MAP_FAILED)
		return -1;
	return answer(c, "%lu %d", (unsigned long)address, fd);
}

/* mapfd FD OFFSET LENGTH SHARED PROT */
static int do_mapfd(struct context *c)
{
	void *address = mmap(NULL, c->arg[2], (int)c->arg[4], c->arg[3] ? MAP_SHARED : MAP_PRIVATE,
			     (int)c->arg[0], (off_t)c->arg[1]);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

/* mapfixed ADDRESS LENGTH: anonymous memory over what is there */
static int do_mapfixed(struct context *c)
{
	void *address = mmap(pointer(c->arg[0]), c->arg[1], PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

static int do_munmap(struct context *c)
{
	return result(c, munmap(pointer(c->arg[0]), c->arg[1]));
}

/* mremap ADDRESS OLD NEW [TARGET] */
static int do_mremap(struct context *c)
{
	void *address = c->argc > 3
				? mremap(pointer(c->arg[0]), c->arg[1], c->arg[2],
					 MREMAP_MAYMOVE | MREMAP_FIXED, pointer(c->arg[3]))
				: mremap(pointer(c->arg[0]), c->arg[1], c->arg[2], MREMAP_MAYMOVE);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

/* dontunmap ADDRESS LENGTH: moves the pages and leaves the old range mapped and empty */
static int do_dontunmap(struct context *c)
{
	void *address = mremap(pointer(c->arg[0]), c->arg[1], c->arg[1],
			       MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	return address == MAP_FAILED ? -1 : answer(c, "%lu", (unsigned long)address);
}

static int do_mprotect(struct context *c)
{
	return result(c, mprotect(pointer(c->arg[0]), c->arg[1], (int)c->arg[2]));
}

static int do_madvise(struct context *c)
{
	return result(c, madvise(pointer(c->arg[0]), c->arg[1], (int)c->arg[2]));
}

static int do_read(struct context *c)
{
	return answer(c, "%u", *byte_at(c->arg[0]));
}

static int do_write(struct context *c)
{
	*byte_at(c->arg[0]) = (unsigned char)c->arg[1];
	return answer(c, "0");
}

/* touch ADDRESS LENGTH [STRIDE]: reads a byte of every page; nanoseconds */
static int do_touch(struct context *c)
{
	uint64_t stride = c->argc > 2 ? c->arg[2] : 4096;
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t at = 0; at < c->arg[1]; at += stride)
		(void)*byte_at(c->arg[0] + at);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return result(c, (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec);
}

/* fill ADDRESS LENGTH BYTE */
static int do_fill(struct context *c)
{
	for (uint64_t at = 0; at < c->arg[1]; at++)
		*byte_at(c->arg[0] + at) = (unsigned char)c->arg[2];
	return answer(c, "0");
}

/* differ ADDRESS LENGTH BYTE: how many bytes are not BYTE */
static int do_differ(struct context *c)
{
	long count = 0;

	for (uint64_t at = 0; at < c->arg[1]; at++)
		count += *byte_at(c->arg[0] + at) != (unsigned char)c->arg[2];
	return result(c, count);
}

/* hash ADDRESS LENGTH: FNV-1a, 64 bits */
static int do_hash(struct context *c)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (uint64_t at = 0; at < c->arg[1]; at++)
		hash = (hash ^ *byte_at(c->arg[0] + at)) * 0x100000001b3;
	return answer(c, "%lu", (unsigned long)hash);
}

/* add ADDRESS COUNT: that many atomic increments of the 64-bit word; the last value seen */
static int do_add(struct context *c)
{
	uint64_t *word = pointer(c->arg[0]);
	uint64_t seen = 0;

	for (uint64_t i = 0; i < c->arg[1]; i++)
		seen = __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	return answer(c, "%lu", (unsigned long)seen);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* peek ADDRESS: the 64-bit word */
static int do_peek(struct context *c)
{
	return answer(
		c, "%lu",
		(unsigned long)__atomic_load_n((uint64_t *)pointer(c->arg[0]), __ATOMIC_SEQ_CST));
}

/* march ADDRESS PAGES COUNT SEED: COUNT atomic increments of the first words of random pages */
static int do_march(struct context *c)
{
	uint64_t state = c->arg[3] | 1;

	for (uint64_t i = 0; i < c->arg[2]; i++) {
		uint64_t page = next_random(&state) % c->arg[1];

		__atomic_add_fetch((uint64_t *)pointer(c->arg[0] + page * 4096), 1,
				   __ATOMIC_SEQ_CST);
	}
	return answer(c, "0");
}

/*
 * scribble ADDRESS1 ADDRESS2 PAGES SEED STOP: writes 1, 2, 3... to the first words of random pages
 * of two ranges of PAGES each, until the byte at STOP is not 0; how often
 */
static int do_scribble(struct context *c)
{
	uint64_t state = c->arg[3] | 1, count = 0;

	while (!__atomic_load_n(byte_at(c->arg[4]), __ATOMIC_RELAXED)) {
		uint64_t page = next_random(&state) % (2 * c->arg[2]);
		uint64_t range = c->arg[page / c->arg[2]];
		uint64_t *word = pointer(range + page % c->arg[2] * 4096);

		__atomic_store_n(word, ++count, __ATOMIC_SEQ_CST);
	}
	return answer(c, "%lu", (unsigned long)count);
}

/* relay FROM TO ROLE STOP: two threads (ROLE 0 and 1) hand a counter over and back, until STOP is
 * not 0 */
static int do_relay(struct context *c)
{
	uint64_t *from = pointer(c->arg[0]), *to = pointer(c->arg[1]), count = 0;

	while (!__atomic_load_n(byte_at(c->arg[3]), __ATOMIC_RELAXED)) {
		uint64_t first = __atomic_load_n(from, __ATOMIC_SEQ_CST);
		uint64_t second = __atomic_load_n(to, __ATOMIC_SEQ_CST);

		if (c->arg[2] == 0 && first == second)
			__atomic_store_n(from, ++count, __ATOMIC_SEQ_CST);
		else if (c->arg[2] == 1 && first > second)
			__atomic_store_n(to, first, __ATOMIC_SEQ_CST);
	}
	return answer(c, "%lu", (unsigned long)count);
}

/* shuffle ADDRESS LENGTH COUNT SEED: reads a byte of COUNT random pages; nanoseconds */
static int do_shuffle(struct context *c)
{
	uint64_t state = c->arg[3] | 1, pages = c->arg[1] / 4096;
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t i = 0; i < c->arg[2]; i++) {
		uint64_t page = next_random(&state) % pages;

		(void)*byte_at(c->arg[0] + page * 4096);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return result(c, (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec);
}

/* kread ADDRESS LENGTH: the kernel reads our memory (write(2) into a pipe) */
static int do_kread(struct context *c)
{
	int ends[2], error;
	ssize_t count;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	count = write(ends[1], pointer(c->arg[0]), c->arg[1]);
	error = errno;
	close(ends[0]);
	close(ends[1]);
	errno = error;
	return result(c, count);
}

/* kwrite ADDRESS LENGTH: the kernel writes our memory (read(2) from /dev/zero) */
static int do_kwrite(struct context *c)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), error;
	ssize_t count = read(fd, pointer(c->arg[0]), c->arg[1]);

	error = errno;
	close(fd);
	errno = error;
	return result(c, count);
}

static void ignore_signal(int signal)
{
	(void)signal;
}

/* storm ADDRESS LENGTH MICROSECONDS: as kwrite, while a signal hits the thread that often; a
 * kernel-mode fault then comes back to user space and is repeated for ever */
static int do_storm(struct context *c)
{
	struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	struct itimerspec period = {.it_interval.tv_nsec = (long)c->arg[2] * 1000};
	timer_t timer;
	int failed;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	period.it_value = period.it_interval;
	sigaction(SIGALRM, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return -1;
	timer_settime(timer, 0, &period, NULL);
	failed = do_kwrite(c);
	timer_delete(timer);
	return failed;
}

/* ---- userfaultfd ---- */

/* uffd [FLAGS]: a userfaultfd by system call; its number */
static int do_uffd(struct context *c)
{
	int flags = c->argc > 0 ? (int)c->arg[0] : 0;

	return result(c, syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags));
}

/* uffddev FD: a userfaultfd by the open device */
static int do_uffddev(struct context *c)
{
	return result(c, ioctl((int)c->arg[0], USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
}

/* api FD FEATURES: features, ioctls */
static int do_api(struct context *c)
{
	struct uffdio_api api = {.api = UFFD_API, .features = c->arg[1]};

	if (ioctl((int)c->arg[0], UFFDIO_API, &api) < 0)
		return -1;
	return answer(c, "%llu %llu", api.features, api.ioctls);
}

/* register FD START LENGTH MODE: ioctls */
static int do_register(struct context *c)
{
	struct uffdio_register argument = {.range = {.start = c->arg[1], .len = c->arg[2]},
					   .mode = c->arg[3]};

	if (ioctl((int)c->arg[0], UFFDIO_REGISTER, &argument) < 0)
		return -1;
	return answer(c, "%llu", argument.ioctls);
}

static int do_unregister(struct context *c)
{
	struct uffdio_range range = {.start = c->arg[1], .len = c->arg[2]};

	return result(c, ioctl((int)c->arg[0], UFFDIO_UNREGISTER, &range));
}

/* nonblock FD 0|1 */
static int do_nonblock(struct context *c)
{
	int flags = fcntl((int)c->arg[0], F_GETFL);

	flags = c->arg[1] ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return result(c, fcntl((int)c->arg[0], F_SETFL, flags));
}

/* steal FD: reads one message of our own userfaultfd; the event */
static int do_steal(struct context *c)
{
	struct uffd_msg message;

	if (read((int)c->arg[0], &message, sizeof(message)) != sizeof(message))
		return -1;
	return result(c, message.event);
}

/* ---- descriptors ---- */

static int do_sendfd(struct context *c)
{
	c->send_fd = (int)c->arg[0];
	return answer(c, "0");
}

static int do_recvfd(struct context *c)
{
	int fd = c->fd;

	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	c->fd = -1;
	return result(c, fd);
}

/* open PATH FLAGS */
static int do_open(struct context *c)
{
	return result(c, open(c->word[0], (int)c->arg[1] | O_CLOEXEC, 0600));
}

/* connect PATH [TYPE]: a connection, SOCK_SEQPACKET if no type is given; the listener sees this
 *process's credentials */
static int do_connect(struct context *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int type = c->argc > 1 ? (int)c->arg[1] : SOCK_SEQPACKET;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, c->word[0], sizeof(address.sun_path) - 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return result(c, fd);
}

static int do_close(struct context *c)
{
	return result(c, close((int)c->arg[0]));
}

/* pwrite FD OFFSET LENGTH BYTE */
static int do_pwrite(struct context *c)
{
	unsigned char page[4096];

	memset(page, (int)c->arg[3], sizeof(page));
	for (uint64_t at = 0; at < c->arg[2]; at += sizeof(page))
		if (pwrite((int)c->arg[0], page, sizeof(page), (off_t)(c->arg[1] + at)) < 0)
			return -1;
	return answer(c, "0");
}

/* punch FD OFFSET LENGTH */
static int do_punch(struct context *c)
{
	return result(c, fallocate((int)c->arg[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)c->arg[1], (off_t)c->arg[2]));
}

/* ---- process ---- */

static void serve(void) __attribute__((noreturn));

/* fork: the child's pid; the child connects by itself. forkquiet: the child only waits to be
 * killed. */
static int fork_child(struct context *c, int quiet)
{
	pid_t pid = fork();

	if (pid != 0)
		return result(c, pid);
	guarded = 0;
	close(channel);
	memset(workers, 0, sizeof(workers));
	if (quiet) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (1)
			pause();
	}
	serve();
}

static int do_fork(struct context *c)
{
	return fork_child(c, 0);
}

static int do_forkquiet(struct context *c)
{
	return fork_child(c, 1);
}

/* waitpid PID: the raw status */
static int do_waitpid(struct context *c)
{
	int status = 0;

	if (waitpid((pid_t)c->arg[0], &status, 0) < 0)
		return -1;
	return result(c, status);
}

static int do_exit(struct context *c)
{
	_exit((int)c->arg[0]);
}

/* exec: the same program anew, which says hello again; all memory is gone */
static int do_exec(struct context *c)
{
	(void)c;
	return execl("/proc/self/exe", "uffd-client", socket_path, (char *)NULL);
}

static int do_setuid(struct context *c)
{
	return result(c, setresuid((uid_t)c->arg[0], (uid_t)c->arg[0], (uid_t)c->arg[0]));
}

static int do_tid(struct context *c)
{
	return result(c, syscall(SYS_gettid));
}

static const struct verb verbs[] = {
	{"map", 2, do_map},
	{"mapfd", 5, do_mapfd},
	{"mapfixed", 2, do_mapfixed},
	{"munmap", 2, do_munmap},
	{"mremap", 3, do_mremap},
	{"dontunmap", 2, do_dontunmap},
	{"storm", 3, do_storm},
	{"mprotect", 3, do_mprotect},
	{"madvise", 3, do_madvise},
	{"read", 1, do_read},
	{"write", 2, do_write},
	{"touch", 2, do_touch},
	{"fill", 3, do_fill},
	{"differ", 3, do_differ},
	{"hash", 2, do_hash},
	{"add", 2, do_add},
	{"peek", 1, do_peek},
	{"march", 4, do_march},
	{"scribble", 5, do_scribble},
	{"relay", 4, do_relay},
	{"shuffle", 4, do_shuffle},
	{"kread", 2, do_kread},
	{"kwrite", 2, do_kwrite},
	{"uffd", 0, do_uffd},
	{"uffddev", 1, do_uffddev},
	{"api", 2, do_api},
	{"register", 4, do_register},
	{"unregister", 3, do_unregister},
	{"nonblock", 2, do_nonblock},
	{"steal", 1, do_steal},
	{"sendfd", 1, do_sendfd},
	{"recvfd", 0, do_recvfd},
	{"open", 2, do_open},
	{"connect", 1, do_connect},
	{"close", 1, do_close},
	{"pwrite", 4, do_pwrite},
	{"punch", 3, do_punch},
	{"fork", 0, do_fork},
	{"forkquiet", 0, do_forkquiet},
	{"waitpid", 1, do_waitpid},
	{"exit", 1, do_exit},
	{"exec", 0, do_exec},
	{"setuid", 1, do_setuid},
	{"tid", 0, do_tid},
};

static int run_guarded(struct context *c, const struct verb *verb)
{
	int failed;

	if (sigsetjmp(on_signal, 1)) {
		guarded = 0;
		return 1;
	}
	guarded = 1;
	failed = verb->run(c);
	guarded = 0;
	return failed;
}

/* COMMAND ARGUMENT..., the id and the thread being cut off already */
static void execute(char *text, struct context *c)
{
	const struct verb *verb = NULL;
	char line[2 * MAX_MESSAGE];
	char *save = NULL;
	char *name = strtok_r(text, " ", &save);
	int outcome;

	while (c->argc < MAX_ARGS && (c->word[c->argc] = strtok_r(NULL, " ", &save))) {
		c->arg[c->argc] = strtoull(c->word[c->argc], NULL, 0);
		c->argc++;
	}
	for (size_t i = 0; name && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			verb = &verbs[i];
	errno = ENOSYS;
	outcome = verb && c->argc >= verb->min_args ? run_guarded(c, verb) : -1;
	if (outcome == 0)
		snprintf(line, sizeof(line), "%s ok %s", c->id, c->reply);
	else if (outcome < 0)
		snprintf(line, sizeof(line), "%s err %d", c->id, errno);
	else
		snprintf(line, sizeof(line), "%s sig %d %d %lu", c->id, caught.si_signo,
			 caught.si_code, (unsigned long)caught.si_addr);
	send_message(channel, line, c->send_fd);
	if (c->fd >= 0)
		close(c->fd);
}

static void *work(void *argument)
{
	int from = (int)(intptr_t)argument;
	struct command command;

	while (receive_message(from, &command) == 0) {
		char *rest = strchr(command.text, ' ');
		struct context c = {.id = command.text, .fd = command.fd, .send_fd = -1};

		*rest = '\0';
		execute(rest + 1, &c);
	}
	return NULL;
}

static int worker(unsigned int number)
{
	pthread_t thread;
	int pair[2];

	if (number >= MAX_WORKERS)
		die("thread number");
	if (workers[number])
		return workers[number];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	if ((errno = pthread_create(&thread, NULL, work, (void *)(intptr_t)pair[1])))
		die("pthread_create");
	pthread_detach(thread);
	return workers[number] = pair[0];
}

/* Connects, says hello and hands out commands until the connection ends. */
static void serve(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct command command;
	char text[MAX_MESSAGE];

	strncpy(address.sun_path, socket_path, sizeof(address.sun_path) - 1);
	channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (channel < 0 || connect(channel, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(socket_path);
	snprintf(text, sizeof(text), "hello %d", getpid());
	send_message(channel, text, -1);
	while (receive_message(channel, &command) == 0) {
		char *thread = strchr(command.text, ' ');
		char *rest = thread ? strchr(thread + 1, ' ') : NULL;
		unsigned long number;

		if (!rest)
			die("malformed command");
		number = strtoul(thread + 1, NULL, 10);
		memmove(thread, rest, strlen(rest) + 1);
		send_message(worker((unsigned int)number), command.text, command.fd);
		if (command.fd >= 0)
			close(command.fd);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = catch_signal, .sa_flags = SA_SIGINFO};

	if (argc != 2) {
		fprintf(stderr, "usage: uffd-client SOCKET\n");
		return 64;
	}
	socket_path = argv[1];
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	serve();
}
