#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bench/image.h"

static int write_chunk(int fd, uint64_t offset, uint64_t length)
{
	static uint64_t chunk[IMAGE_CHUNK / 8];

	for (uint64_t i = 0; i < length / 8; i++)
		chunk[i] = image_word(offset + i * 8);
	for (uint64_t done = 0; done < length;) {
		ssize_t written =
			pwrite(fd, (char *)chunk + done, length - done, (off_t)(offset + done));

		if (written < 0 && errno != EINTR)
			return errno;
		if (written > 0)
			done += (uint64_t)written;
	}
	return 0;
}

int image_make(const char *path, uint64_t length, uint64_t holes, uint64_t tail)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int error = 0;

	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t)(length + tail)) < 0)
		error = errno;
	for (uint64_t at = 0; at < length && !error; at += IMAGE_CHUNK) {
		uint64_t left = length - at;

		if (holes == 0 || at / IMAGE_CHUNK % holes != holes - 1)
			error = write_chunk(fd, at, left < IMAGE_CHUNK ? left : IMAGE_CHUNK);
	}
	if (close(fd) < 0 && !error)
		error = errno;
	return error;
}

static int count_cached(int fd, uint64_t length, uint64_t *cached)
{
	uint64_t pages = (length + BENCH_PAGE - 1) / BENCH_PAGE;
	uint8_t *resident = malloc(pages);
	void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	int error = 0;

	*cached = 0;
	if (!resident || mapping == MAP_FAILED || mincore(mapping, length, resident) < 0)
		error = errno;
	for (uint64_t i = 0; i < pages && !error; i++)
		*cached += (resident[i] & 1) * BENCH_PAGE;
	if (mapping != MAP_FAILED)
		munmap(mapping, length);
	free(resident);
	return error;
}

int image_drop_cache(const char *path, uint64_t *left)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	int error = fstat(fd, &status) < 0 || fdatasync(fd) < 0 ? errno : 0;

	if (!error)
		error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!error)
		error = count_cached(fd, (uint64_t)status.st_size, left);
	close(fd);
	return error;
}
