#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "random.h"

static int open_image(const struct run *run, uint64_t length)
{
	int image = -1;

	/* The reference handler has its own image and takes none. */
	if (run->session.protocol == PROTOCOL_REFERENCE)
		return -1;
	if (run->source == SOURCE_FILE || run->source == SOURCE_MAP) {
		image = open(run->image_path, O_RDONLY | O_CLOEXEC);
		if (image < 0)
			client_die(errno, run->image_path);
	} else if (run->source == SOURCE_MEMFD) {
		int error = image_create_memfd(length, &image);

		if (error)
			client_die(error, "memfd");
	}
	return image;
}

void load_check(const struct load *load, int error)
{
	if (error)
		client_die(0, load->session.error);
}

/* A private mapping of what all clients of the image share. */
static void open_shared(struct load *load, const struct run *run)
{
	struct session_options options = run->session;
	uint64_t map_id;
	int memfd;

	options.shares = true;
	load_check(load, session_open(&load->session, &options));
	load_check(load, session_map(&load->session, load->length, load->image, &memfd, &map_id));
	load->memory = mmap(NULL, load->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
			    memfd, 0);
	if (load->memory == MAP_FAILED)
		client_die(errno, "mmap");
	close(memfd);
	load_check(load,
		   session_register_mapped(&load->session, load->memory, load->length, map_id));
}

void load_open(struct load *load, const struct run *run, uint64_t length)
{
	load->length = length;
	load->image = open_image(run, length);
	if (run->source == SOURCE_MAP) {
		open_shared(load, run);
		return;
	}
	load->memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (load->memory == MAP_FAILED)
		client_die(errno, "mmap");
	load_check(load, session_open(&load->session, &run->session));
	load_check(load, session_register(&load->session, load->memory, length, load->image));
}

void load_close(struct load *load)
{
	session_close(&load->session);
	munmap(load->memory, load->length);
	if (load->image >= 0)
		close(load->image);
}

void load_verify(const struct load *load, const struct run *run)
{
	if (!run->verify)
		return;
	uint64_t wrong = image_count_wrong_pages(load->memory, 0, load->length, run->expect_zero);

	if (wrong > 0) {
		char text[96];

		snprintf(text, sizeof(text), "%llu of %llu pages have wrong contents",
			 (unsigned long long)wrong,
			 (unsigned long long)(load->length / BENCH_PAGE));
		client_die(0, text);
	}
}

void load_shuffle(uint32_t *order, uint64_t count, uint64_t state)
{
	for (uint64_t i = count; i > 1; i--) {
		uint64_t j = next_random(&state) % i;
		uint32_t swapped = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swapped;
	}
}

uint32_t *load_order(uint64_t first, uint64_t count)
{
	uint32_t *order = malloc(count * sizeof(*order));
	if (!order)
		client_die(ENOMEM, "order");
	for (uint64_t i = 0; i < count; i++)
		order[i] = (uint32_t)(first + i);
	load_shuffle(order, count, 0x2545f4914f6cdd1dull + first);
	return order;
}
