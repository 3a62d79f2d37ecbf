#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK (1ul << 20)

static int write_image(int fd, uint64_t length)
{
	static uint64_t chunk[CHUNK / 8];

	for (uint64_t done = 0; done < length;) {
		uint64_t count = length - done < CHUNK ? length - done : CHUNK;

		for (uint64_t i = 0; i < count / 8; i++)
			chunk[i] = image_word(done + i * 8);
		ssize_t written = pwrite(fd, chunk, count, (off_t)done);

		if (written < 0 && errno != EINTR)
			return errno;
		/* A short write may end within a word: that word is written again. */
		if (written > 0)
			done += (uint64_t)written & ~7ull;
	}
	return 0;
}

int image_create(const char *path, uint64_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return errno;
	int error = write_image(fd, length);

	if (close(fd) < 0 && error == 0)
		error = errno;
	return error;
}

int image_create_memfd(uint64_t length, int *memfd)
{
	int fd = memfd_create("uffd-bench-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return errno;
	int error = write_image(fd, length);

	if (error == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		error = errno;
	if (error == 0)
		*memfd = fd;
	else
		close(fd);
	return error;
}

uint64_t image_count_wrong_pages(const void *memory, uint64_t offset, uint64_t length, bool zero)
{
	const uint64_t *words = memory;
	uint64_t wrong = 0;

	for (uint64_t page = 0; page < length; page += BENCH_PAGE) {
		uint64_t difference = 0;

		for (uint64_t i = page; i < page + BENCH_PAGE; i += 8)
			difference |= words[i / 8] ^ (zero ? 0 : image_word(offset + i));
		wrong += difference != 0;
	}
	return wrong;
}
