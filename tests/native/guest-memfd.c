/*
 * Hands over memory that is a guest_memfd beside a userfaultfd, as a VMM with secret freedom does.
 *
 * usage: guest-memfd SOCKET
 *
 * Says what the kernel calls the file, and reads the page that it has handed over. Exit codes: 77
 * no kind of VM of this kernel has a guest_memfd, and what the kernel answered; 1 something else
 * failed; 0 the page was served.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096u
#define SKIPPED 77

/* linux/kvm.h, of 6.8 and newer; the headers may be older than the kernel. */
struct guest_memfd {
	uint64_t size;
	uint64_t flags;
	uint64_t reserved[6];
};

#define CREATE_VM _IO(0xAE, 0x01)
#define CREATE_GUEST_MEMFD _IOWR(0xAE, 0xd4, struct guest_memfd)

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "guest-memfd: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* An ordinary VM has one since 6.18, before that one of type KVM_X86_SW_PROTECTED_VM, which is 1.
 */
static int open_guest_memfd(void)
{
	struct guest_memfd wanted = {.size = 16 * PAGE};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0) {
		fprintf(stderr, "/dev/kvm: %s\n", strerror(errno));
		exit(SKIPPED);
	}
	for (long type = 0; type <= 1; type++) {
		int vm = ioctl(kvm, CREATE_VM, type);
		int memory = vm < 0 ? -1 : ioctl(vm, CREATE_GUEST_MEMFD, &wanted);

		if (memory >= 0)
			return memory;
		fprintf(stderr, "%s of a VM of type %ld: %s; ",
			vm < 0 ? "KVM_CREATE_VM" : "KVM_CREATE_GUEST_MEMFD", type, strerror(errno));
	}
	exit(SKIPPED);
}

static int open_uffd(const void *page)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {.start = (uintptr_t)page, .len = PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		fail("userfaultfd");
	if (ioctl(uffd, UFFDIO_API, &api) < 0)
		fail("UFFDIO_API");
	if (ioctl(uffd, UFFDIO_REGISTER, &range) < 0)
		fail("UFFDIO_REGISTER");
	return uffd;
}

static void hand_over(const char *path, const void *page, int uffd, int memory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[160];
	int handed[] = {uffd, memory};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(handed))] = {0};
	struct iovec part = {.iov_base = text};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	part.iov_len = (size_t)snprintf(
		text, sizeof(text),
		"[{\"base_host_virt_addr\":%ju,\"size\":%u,\"offset\":0,\"page_size\":%u}]",
		(uintmax_t)(uintptr_t)page, PAGE, PAGE);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(handed));
	memcpy(CMSG_DATA(rights), handed, sizeof(handed));
	if (connection < 0 || strlen(path) >= sizeof(address.sun_path))
		fail("socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(connection, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	if (sendmsg(connection, &message, MSG_NOSIGNAL) != (ssize_t)part.iov_len)
		fail("sendmsg");
}

int main(int argc, char **argv)
{
	char entry[64];
	char name[128] = "";
	int memory;
	volatile const char *page;

	if (argc != 2)
		return 64;
	memory = open_guest_memfd();
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		fail("mmap");
	snprintf(entry, sizeof(entry), "/proc/self/fd/%d", memory);
	if (readlink(entry, name, sizeof(name) - 1) < 0)
		fail(entry);
	puts(name);
	fflush(stdout);
	hand_over(argv[1], (const void *)page, open_uffd((const void *)page), memory);
	printf("read %d\n", *page);
	return 0;
}
