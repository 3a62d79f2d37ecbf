/*
 * hostile.c - hand-overs that cannot be served. Whoever sends one is a guest whose memory nobody
 * fills: the handler has to end it. Left alone it would freeze, or read zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "guest.h"
#include "kernel.h"
#include "handover.h"
#include "report.h"
#include "run.h"

#define ENDLESS (8ul << 20)
#define DEEP 100000ul

struct attempt {
	const struct run *run;
	struct guest guest;
	char *text; /* what is sent; by default the message of a guest that behaves */
	size_t length;
	int descriptors[MAX_DESCRIPTORS];
	unsigned int count;
	int socket;
	size_t first; /* how much of the text is sent at first, 0 = all */
	bool leaves;  /* closes the socket after it */
	bool untaken; /* what was sent does not have these ranges: touching them proves nothing */
	bool late;    /* the descriptors come after the first byte */
};

static void retell(struct attempt *attempt)
{
	attempt->length = handover_message(attempt->text, ENDLESS, &attempt->guest.memory,
					   attempt->run->memory.version, false);
}

static void say(struct attempt *attempt, const char *text)
{
	attempt->length = (size_t)snprintf(attempt->text, ENDLESS, "%s", text);
}

static void send_only(struct attempt *attempt, int descriptor)
{
	if (descriptor < 0)
		report_setup(errno, "a descriptor");
	attempt->descriptors[0] = descriptor;
	attempt->count = 1;
}

static void add_descriptor(struct attempt *attempt, int descriptor)
{
	if (descriptor < 0)
		report_setup(errno, "a descriptor");
	attempt->descriptors[attempt->count++] = descriptor;
}

/* What is wrong with the sending. */

static void silence(struct attempt *attempt)
{
	attempt->length = 0;
	attempt->untaken = true;
}

static void hangs_up(struct attempt *attempt)
{
	silence(attempt);
	attempt->leaves = true;
}

static void half(struct attempt *attempt)
{
	attempt->first = attempt->length / 2;
}

static void half_and_hangs_up(struct attempt *attempt)
{
	half(attempt);
	attempt->leaves = true;
}

static void late_descriptor(struct attempt *attempt)
{
	attempt->late = true;
}

/* What is wrong with the descriptors. */

static void no_descriptor(struct attempt *attempt)
{
	attempt->count = 0;
}

static void pipe_end(struct attempt *attempt)
{
	int ends[2] = {-1, -1};

	if (pipe(ends) < 0)
		ends[0] = -1;
	send_only(attempt, ends[0]);
}

static void plain_file(struct attempt *attempt)
{
	send_only(attempt, open(attempt->run->image, O_RDONLY | O_CLOEXEC));
}

static void own_socket(struct attempt *attempt)
{
	send_only(attempt, attempt->socket);
}

static void uffd_and_event(struct attempt *attempt)
{
	add_descriptor(attempt, eventfd(0, EFD_CLOEXEC));
}

static void two_uffds(struct attempt *attempt)
{
	add_descriptor(attempt, attempt->guest.memory.uffd);
}

static void guest_memfd(struct attempt *attempt)
{
	add_descriptor(attempt, memfd_create("guest", MFD_CLOEXEC));
	add_descriptor(attempt, memfd_create("bitmap", MFD_CLOEXEC));
}

static void many_descriptors(struct attempt *attempt)
{
	while (attempt->count < MAX_DESCRIPTORS)
		add_descriptor(attempt, attempt->guest.memory.uffd);
}

static int new_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

	close(device);
	if (features != UINT64_MAX && ioctl(uffd, UFFDIO_API, &api) < 0)
		report_setup(errno, "UFFDIO_API");
	return uffd;
}

static void not_registered(struct attempt *attempt)
{
	attempt->untaken = true;
	send_only(attempt, new_uffd(0));
}

static void no_api(struct attempt *attempt)
{
	attempt->untaken = true;
	send_only(attempt, new_uffd(UINT64_MAX));
}

/*
 * A userfaultfd of another process, which has the same ranges, and lives on or is gone by the time
 * that it is sent. The two share their descriptors, and nothing else.
 */
static int foreign_uffd(const struct region *region, bool lives)
{
	int ends[2];
	int uffd;

	if (pipe(ends) < 0)
		report_setup(errno, "pipe");
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid < 0)
		report_setup(errno, "clone");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		uffd = new_uffd(0);
		struct uffdio_register reg = {
			.range = {.start = (uintptr_t)region->base, .len = region->size},
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 ||
		    write(ends[1], &uffd, sizeof(uffd)) != sizeof(uffd))
			_exit(EXIT_SETUP);
		while (lives)
			pause();
		_exit(0);
	}
	if (read(ends[0], &uffd, sizeof(uffd)) != sizeof(uffd))
		report_setup(0, "the other process is gone");
	if (!lives)
		waitpid(pid, NULL, 0);
	return uffd;
}

static void foreign(struct attempt *attempt)
{
	attempt->untaken = true;
	send_only(attempt, foreign_uffd(&attempt->guest.memory.region[0], true));
}

static void departed(struct attempt *attempt)
{
	attempt->untaken = true;
	send_only(attempt, foreign_uffd(&attempt->guest.memory.region[0], false));
}

/* What is wrong with the text. */

static void garbage(struct attempt *attempt)
{
	uint64_t random = random_for(attempt->run->seed, 0);

	for (attempt->length = 0; attempt->length < 4096; attempt->length++)
		attempt->text[attempt->length] = (char)next_random(&random);
}

static void endless(struct attempt *attempt)
{
	memset(attempt->text, ' ', ENDLESS);
	attempt->text[0] = '[';
	attempt->length = ENDLESS;
}

static void deep(struct attempt *attempt)
{
	memset(attempt->text, '[', DEEP);
	attempt->length = DEEP;
}

static void many_regions(struct attempt *attempt)
{
	size_t at = 0;

	for (unsigned int i = 0; i < 10000; i++)
		at += (size_t)snprintf(
			attempt->text + at, ENDLESS - at,
			"%s{\"base_host_virt_addr\":%lu,\"size\":4096,\"offset\":%lu}",
			i ? "," : "[", (uint64_t)(uintptr_t)attempt->guest.memory.region[0].base,
			i * 4096ul);
	attempt->length = at + (size_t)snprintf(attempt->text + at, ENDLESS - at, "]");
}

static void empty_list(struct attempt *attempt)
{
	say(attempt, "[]");
}

static void no_list(struct attempt *attempt)
{
	say(attempt, "{\"base_host_virt_addr\":4096,\"size\":4096,\"offset\":0}");
}

static void no_address(struct attempt *attempt)
{
	say(attempt, "[{\"size\":4096,\"offset\":0,\"page_size\":4096}]");
}

static void negative(struct attempt *attempt)
{
	say(attempt, "[{\"base_host_virt_addr\":-4096,\"size\":4096,\"offset\":0}]");
}

static void fraction(struct attempt *attempt)
{
	say(attempt, "[{\"base_host_virt_addr\":4096.5,\"size\":4.096e3,\"offset\":0}]");
}

static void number_as_text(struct attempt *attempt)
{
	say(attempt, "[{\"base_host_virt_addr\":\"65536\",\"size\":\"4096\",\"offset\":\"0\"}]");
}

static void huge_numbers(struct attempt *attempt)
{
	say(attempt, "[{\"base_host_virt_addr\":18446744073709551616,"
		     "\"size\":99999999999999999999999999,\"offset\":0}]");
}

static void wraps(struct attempt *attempt)
{
	attempt->guest.memory.region[0].size = UINT64_MAX - 4095;
	retell(attempt);
}

static void kernel_address(struct attempt *attempt)
{
	attempt->guest.memory.region[0].base = (uint8_t *)0xffff888000000000ul;
	retell(attempt);
}

static void unmapped(struct attempt *attempt)
{
	struct region *region = &attempt->guest.memory.region[0];
	void *gap = mmap(NULL, region->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(gap, region->size);
	region->base = gap;
	retell(attempt);
}

static void overlap(struct attempt *attempt)
{
	struct memory *memory = &attempt->guest.memory;

	memory->region[1].base = memory->region[0].base + memory->page_size;
	retell(attempt);
}

static void unaligned(struct attempt *attempt)
{
	attempt->guest.memory.region[0].base += 8;
	retell(attempt);
}

static void unaligned_offset(struct attempt *attempt)
{
	attempt->guest.memory.region[0].offset += 512;
	retell(attempt);
}

static void no_size(struct attempt *attempt)
{
	attempt->guest.memory.region[0].size = 0;
	retell(attempt);
}

static void past_end(struct attempt *attempt)
{
	struct memory *memory = &attempt->guest.memory;

	memory->region[1].offset = memory->length - memory->page_size;
	retell(attempt);
}

static void odd_page_size(struct attempt *attempt)
{
	attempt->guest.memory.page_size = 3000;
	retell(attempt);
}

static void page_sizes_differ(struct attempt *attempt)
{
	const struct region *region = attempt->guest.memory.region;

	attempt->length = (size_t)snprintf(
		attempt->text, ENDLESS,
		"[{\"base_host_virt_addr\":%lu,\"size\":%lu,\"offset\":0,\"page_size\":4096},"
		"{\"base_host_virt_addr\":%lu,\"size\":%lu,\"offset\":%lu,\"page_size\":2097152}]",
		(uint64_t)(uintptr_t)region[0].base, region[0].size,
		(uint64_t)(uintptr_t)region[1].base, region[1].size, region[1].offset);
}

/* The memory has pages of the other size. */
static void wrong_page_size(struct attempt *attempt)
{
	attempt->guest.memory.page_size =
		attempt->guest.memory.page_size == 4096 ? 2ul << 20 : 4096;
	retell(attempt);
}

static const struct {
	const char *name;
	void (*prepare)(struct attempt *attempt);
} kinds[] = {
	{"silence", silence},
	{"hangs-up", hangs_up},
	{"half", half},
	{"half-and-hangs-up", half_and_hangs_up},
	{"late-descriptor", late_descriptor},
	{"no-descriptor", no_descriptor},
	{"pipe", pipe_end},
	{"plain-file", plain_file},
	{"own-socket", own_socket},
	{"uffd-and-event", uffd_and_event},
	{"two-uffds", two_uffds},
	{"guest-memfd", guest_memfd},
	{"many-descriptors", many_descriptors},
	{"not-registered", not_registered},
	{"no-api", no_api},
	{"foreign", foreign},
	{"departed", departed},
	{"garbage", garbage},
	{"endless", endless},
	{"deep", deep},
	{"many-regions", many_regions},
	{"empty-list", empty_list},
	{"no-list", no_list},
	{"no-address", no_address},
	{"negative", negative},
	{"fraction", fraction},
	{"number-as-text", number_as_text},
	{"huge-numbers", huge_numbers},
	{"wraps", wraps},
	{"kernel-address", kernel_address},
	{"unmapped", unmapped},
	{"overlap", overlap},
	{"unaligned", unaligned},
	{"unaligned-offset", unaligned_offset},
	{"no-size", no_size},
	{"past-end", past_end},
	{"odd-page-size", odd_page_size},
	{"page-sizes-differ", page_sizes_differ},
	{"wrong-page-size", wrong_page_size},
};

void run_list_hostile(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		puts(kinds[i].name);
}

static void prepare(struct attempt *attempt, const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			kinds[i].prepare(attempt);
			return;
		}
	}
	fprintf(stderr, "uffd-firecracker: there is no hostile '%s'\n", name);
	exit(EXIT_USAGE);
}

/* A handler that has heard enough hangs up: that is no error of ours, the guest's end tells. */
static void send_all(struct attempt *attempt)
{
	size_t length = attempt->first ? attempt->first : attempt->length;
	size_t sent = 0;

	if (length > 0 && attempt->late) {
		handover_send(attempt->socket, attempt->text, 1, NULL, 0, 0);
		sent = 1;
	}
	if (length > sent)
		handover_send(attempt->socket, attempt->text + sent, length - sent,
			      attempt->descriptors, attempt->count, 0);
	if (attempt->leaves)
		shutdown(attempt->socket, SHUT_RDWR);
	report_line("sent kind=%s bytes=%zu descriptors=%u", attempt->run->hostile, length,
		    attempt->count);
}

static void *touch(void *argument)
{
	struct attempt *attempt = argument;

	report_thread = 1;
	guest_read(&attempt->guest, 1, false);
	report_line("SERVED");
	_exit(EXIT_SERVED);
}

int run_hostile(const struct run *run)
{
	static struct attempt attempt;
	pthread_t thread;

	attempt = (struct attempt){.run = run, .text = malloc(ENDLESS)};
	if (!attempt.text)
		report_setup(errno, "malloc");
	report_catch_poison();
	guest_create(&attempt.guest, &run->memory, run->image, run->pattern);

	/* What is sent may lie about the memory; what is touched is the memory. */
	struct memory truth = attempt.guest.memory;

	attempt.socket = handover_connect(run->socket);
	add_descriptor(&attempt, truth.uffd);
	retell(&attempt);
	prepare(&attempt, run->hostile);
	send_all(&attempt);
	attempt.guest.memory = truth;
	if (!attempt.untaken && pthread_create(&thread, NULL, touch, &attempt))
		report_setup(errno, "pthread_create");

	uint64_t end = report_now() + run->patience * 1000000000ull;
	struct pollfd hang_up = {.fd = attempt.length == 0 ? attempt.socket : -1};

	/* The deadline of the outcome that must not be: the handler's SIGKILL ends this. Who has
	 * sent nothing is not to be killed, but must not be left to believe that it is served. */
	while (report_now() < end)
		if (poll(&hang_up, 1, (int)((end - report_now()) / 1000000) + 1) > 0)
			report_refused(EPIPE, "before anything was sent");
	report_line("FROZEN");
	return EXIT_FROZEN;
}
