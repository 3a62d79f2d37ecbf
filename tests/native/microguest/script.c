#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../firecracker/handover.h"
#include "../firecracker/report.h"
#include "../firecracker/scan.h"
#include "kernel.h"
#include "vm.h"

struct scripted {
	struct vm vm;
	struct memory memory;
	const uint8_t *image;
	uint32_t *written; /* in the first word of each base page; 0 = what the image has */
	uint32_t pages;
	uint32_t share; /* pages of each vCPU that counts */
	unsigned int patience;
	bool counts;
};

struct counter {
	pthread_t thread;
	struct scripted *scripted;
	unsigned int number;
};

static atomic_bool stopping;

static void write_pages(struct scripted *scripted, unsigned int vcpu, uint32_t page, uint32_t count,
			uint32_t number)
{
	vm_loop(&scripted->vm.vcpus[vcpu], LOOP_WRITE, page * BASE_PAGE, count, BASE_PAGE, number,
		NULL, NULL);
	for (uint32_t i = 0; i < count; i++)
		scripted->written[page + i] = number + i;
}

static void *count(void *argument)
{
	struct counter *counter = argument;
	struct scripted *scripted = counter->scripted;
	uint32_t first = FIRST_PAGE + counter->number * scripted->share;
	uint32_t number = 1;

	report_thread = counter->number + 1;
	do {
		write_pages(scripted, counter->number, first, scripted->share, number);
		if (number == 1)
			report_line("round-%u", counter->number);
		number += scripted->share;
	} while (!atomic_load(&stopping));
	return NULL;
}

static void begin_counting(struct scripted *scripted, struct counter *counters)
{
	scripted->counts = true;
	atomic_store(&stopping, false);
	report_line("counting share=%u", scripted->share);
	for (unsigned int i = 0; i < scripted->vm.vcpu_count; i++) {
		counters[i] = (struct counter){.scripted = scripted, .number = i};
		if (pthread_create(&counters[i].thread, NULL, count, &counters[i]))
			report_setup(errno, "pthread_create");
	}
}

static void end_counting(struct scripted *scripted, struct counter *counters)
{
	atomic_store(&stopping, true);
	for (unsigned int i = 0; scripted->counts && i < scripted->vm.vcpu_count; i++)
		scan_join(counters[i].thread, scripted->patience);
	scripted->counts = false;
}

static void obey(struct scripted *scripted, struct counter *counters, const char *line)
{
	uint32_t page;
	uint32_t pages;
	uint32_t number;

	if (sscanf(line, "write %u %u %u", &page, &pages, &number) == 3 && !scripted->counts &&
	    page >= FIRST_PAGE && pages > 0 && page <= scripted->pages &&
	    pages <= scripted->pages - page)
		write_pages(scripted, 0, page, pages, number);
	else if (strcmp(line, "count\n") == 0 && !scripted->counts)
		begin_counting(scripted, counters);
	else if (strcmp(line, "stop\n") == 0)
		end_counting(scripted, counters);
	else
		report_setup(0, "cannot obey \"%s\"", line);
}

static void check_by_host(const struct scripted *scripted)
{
	for (uint32_t page = 0; page < scripted->pages; page++) {
		const uint8_t *memory = memory_at(&scripted->memory, (uint64_t)page * BASE_PAGE);
		const uint8_t *image = scripted->image + (uint64_t)page * BASE_PAGE;
		uint32_t expected = scripted->written[page];
		uint32_t word;

		if (expected == 0)
			memcpy(&expected, image, sizeof(expected));
		memcpy(&word, memory, sizeof(word));
		if (word != expected || memcmp(memory + 4, image + 4, BASE_PAGE - 4) != 0)
			report_fail("the host finds page %u wrong: it begins with %#x and not %#x",
				    page, word, expected);
	}
}

static void map_image(struct scripted *scripted, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		report_setup(errno, "%s", path);
	scripted->image = mmap(NULL, scripted->memory.length, PROT_READ, MAP_PRIVATE, fd, 0);
	scripted->written = calloc(scripted->pages, sizeof(*scripted->written));
	if (scripted->image == MAP_FAILED || !scripted->written)
		report_setup(errno, "%s", path);
	close(fd);
}

int obey_script(const struct memory_options *options, const char *socket, const char *image,
		unsigned int vcpus, unsigned int patience)
{
	static struct scripted scripted;
	struct counter counters[MAX_VCPUS];
	unsigned int commands = 0;
	char line[128];

	scripted.patience = patience;
	memory_create(&scripted.memory, options);
	scripted.pages = (uint32_t)(scripted.memory.length / BASE_PAGE);
	scripted.share = (scripted.pages - FIRST_PAGE) / vcpus;
	map_image(&scripted, image);
	vm_create(&scripted.vm, &scripted.memory, vcpus);
	handover(socket, &scripted.memory, options->version, false, 0);
	while (fgets(line, sizeof(line), stdin)) {
		obey(&scripted, counters, line);
		report_line("done %u", ++commands);
	}
	end_counting(&scripted, counters);
	check_by_host(&scripted);
	report_line("ok pages=%u", scripted.pages);
	return 0;
}
