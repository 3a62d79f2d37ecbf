/*
 * uffd-microguest - a real guest on /dev/kvm whose memory comes from the handler of its page
 * faults: the faults are those of KVM_RUN. It is handed over as Firecracker does it.
 *
 * The first half of each vCPU's pages is read; half of those is written; some are given up by the
 * host while the vCPUs read the second half; then everything is read again, by the guest and by
 * the host. stdout and exit codes as those of uffd-firecracker (../firecracker/report.h).
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "../firecracker/handover.h"
#include "../firecracker/image.h"
#include "../firecracker/memory.h"
#include "../firecracker/report.h"
#include "../firecracker/scan.h"
#include "arguments.h"
#include "kernel.h"
#include "script.h"
#include "vm.h"

#define SUMMED 16u /* pages whose every word each vCPU reads */
#define MARK 0x5eed0000u

enum holds {
	HOLDS_IMAGE,
	HOLDS_MARK, /* in its first word; the rest is the image's */
	HOLDS_ZERO,
};

struct machine {
	struct vm vm;
	struct memory memory;
	const uint8_t *image;
	uint8_t *holds; /* of each base page */
	uint32_t pages;
	unsigned int patience;
};

struct worker {
	pthread_t thread;
	struct machine *machine;
	unsigned int number;
	uint32_t first; /* its pages */
	uint32_t count;
	void (*phase)(struct worker *worker);
};

struct reading {
	struct machine *machine;
	uint32_t first;
};

static uint32_t image_word32(const struct machine *machine, uint64_t offset)
{
	uint32_t word;

	memcpy(&word, machine->image + offset, sizeof(word));
	return word;
}

static uint32_t first_word(const struct machine *machine, uint32_t page)
{
	switch (machine->holds[page]) {
	case HOLDS_IMAGE:
		return image_word32(machine, (uint64_t)page * BASE_PAGE);
	case HOLDS_MARK:
		return MARK + page;
	default:
		return 0;
	}
}

static void check_word(void *argument, uint64_t i, uint32_t value)
{
	const struct reading *reading = argument;
	uint32_t page = reading->first + (uint32_t)i;
	uint32_t expected = first_word(reading->machine, page);

	if (value != expected)
		report_fail("the guest reads %#x in page %u and not %#x", value, page, expected);
}

static void check_sum(void *argument, uint64_t i, uint32_t value)
{
	const struct reading *reading = argument;
	uint32_t sum = 0;

	(void)i;
	for (uint32_t at = 0; at < BASE_PAGE; at += 4)
		sum += image_word32(reading->machine, (uint64_t)reading->first * BASE_PAGE + at);
	if (value != sum)
		report_fail("the words of page %u sum up to %#x and not %#x", reading->first, value,
			    sum);
}

static void read_pages(struct worker *worker, uint32_t first, uint32_t count)
{
	struct reading reading = {.machine = worker->machine, .first = first};

	vm_loop(&worker->machine->vm.vcpus[worker->number], LOOP_READ, first * BASE_PAGE, count,
		BASE_PAGE, 0, check_word, &reading);
}

static void read_first_half(struct worker *worker)
{
	read_pages(worker, worker->first, worker->count / 2);
	for (uint32_t i = 0; i < SUMMED; i++) {
		uint32_t page = worker->first + i * (worker->count / 2 / SUMMED);
		struct reading reading = {.machine = worker->machine, .first = page};

		vm_loop(&worker->machine->vm.vcpus[worker->number], LOOP_SUM, page * BASE_PAGE,
			BASE_PAGE / 4, 4, 0, check_sum, &reading);
	}
}

static void write_quarter(struct worker *worker)
{
	uint32_t count = worker->count / 4;

	vm_loop(&worker->machine->vm.vcpus[worker->number], LOOP_WRITE, worker->first * BASE_PAGE,
		count, BASE_PAGE, MARK + worker->first, NULL, NULL);
	memset(worker->machine->holds + worker->first, HOLDS_MARK, count);
}

static void read_second_half(struct worker *worker)
{
	read_pages(worker, worker->first + worker->count / 2, worker->count - worker->count / 2);
}

static void read_all(struct worker *worker)
{
	read_pages(worker, worker->first, worker->count);
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	report_thread = worker->number + 1;
	worker->phase(worker);
	return NULL;
}

static void begin(struct machine *machine, struct worker *workers,
		  void (*phase)(struct worker *worker))
{
	for (unsigned int i = 0; i < machine->vm.vcpu_count; i++) {
		workers[i].phase = phase;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			report_setup(errno, "pthread_create");
	}
}

static void end(struct machine *machine, struct worker *workers, const char *word)
{
	for (unsigned int i = 0; i < machine->vm.vcpu_count; i++)
		scan_join(workers[i].thread, machine->patience);
	report_line("%s vcpus=%u stall_ms=%lu", word, machine->vm.vcpu_count,
		    report_longest() / 1000000);
}

/* Every other step of the first half of each vCPU's pages; the vCPUs are busy elsewhere. */
static void *inflate(void *argument)
{
	struct worker *workers = argument;
	struct machine *machine = workers[0].machine;
	uint32_t step = (uint32_t)(machine->memory.page_size / BASE_PAGE);

	report_thread = MAX_THREADS - 1;
	for (unsigned int i = 0; i < machine->vm.vcpu_count; i++) {
		uint32_t first = (workers[i].first + step - 1) / step * step;
		uint32_t last = workers[i].first + workers[i].count / 2;

		for (uint32_t page = first; page + step <= last; page += 2 * step) {
			report_begin("gives up", page);
			int error = memory_give_up(&machine->memory, (uint64_t)page * BASE_PAGE,
						   machine->memory.page_size);

			report_end();
			if (error)
				report_fail("page %u could not be given up: %s", page,
					    strerror(error));
			memset(machine->holds + page, HOLDS_ZERO, step);
		}
	}
	return NULL;
}

static void check_by_host(struct machine *machine)
{
	for (uint32_t page = 0; page < machine->pages; page++) {
		static const uint8_t zeros[BASE_PAGE];
		const uint8_t *memory = memory_at(&machine->memory, (uint64_t)page * BASE_PAGE);
		const uint8_t *image = machine->image + (uint64_t)page * BASE_PAGE;
		const uint8_t *rest = machine->holds[page] == HOLDS_ZERO ? zeros : image;
		uint32_t word;

		memcpy(&word, memory, sizeof(word));
		if (word != first_word(machine, page) ||
		    memcmp(memory + 4, rest + 4, BASE_PAGE - 4) != 0)
			report_fail("the host finds page %u wrong: it begins with %#x and not %#x",
				    page, word, first_word(machine, page));
	}
}

static void map_image(struct machine *machine, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		report_setup(errno, "%s", path);
	machine->image = mmap(NULL, machine->memory.length, PROT_READ, MAP_PRIVATE, fd, 0);
	machine->pages = (uint32_t)(machine->memory.length / BASE_PAGE);
	machine->holds = calloc(machine->pages, 1);
	if (machine->image == MAP_FAILED || !machine->holds)
		report_setup(errno, "%s", path);
	close(fd);
}

static int run(const struct memory_options *options, const char *socket, const char *image,
	       unsigned int vcpus, unsigned int patience)
{
	static struct machine machine;
	struct worker workers[MAX_VCPUS];
	uint32_t share;
	pthread_t balloon;

	machine.patience = patience;
	memory_create(&machine.memory, options);
	map_image(&machine, image);
	vm_create(&machine.vm, &machine.memory, vcpus);
	handover(socket, &machine.memory, options->version, false, 0);
	share = (machine.pages - FIRST_PAGE) / vcpus;
	for (unsigned int i = 0; i < vcpus; i++)
		workers[i] = (struct worker){
			.machine = &machine,
			.number = i,
			.first = FIRST_PAGE + i * share,
			.count = share,
		};
	begin(&machine, workers, read_first_half);
	end(&machine, workers, "read");
	begin(&machine, workers, write_quarter);
	end(&machine, workers, "written");
	begin(&machine, workers, read_second_half);
	if (pthread_create(&balloon, NULL, inflate, workers))
		report_setup(errno, "pthread_create");
	scan_join(balloon, patience);
	end(&machine, workers, "inflated");
	begin(&machine, workers, read_all);
	end(&machine, workers, "read-again");
	check_by_host(&machine);
	report_line("ok pages=%u", machine.pages);
	return 0;
}

static const char usage[] =
	"usage: uffd-microguest run --socket PATH --image FILE [--version V] [--huge]\n"
	"         [--regions N] [--vcpus N] [--patience SECONDS]\n"
	"       uffd-microguest script ...   the same options; does what standard input says\n"
	"       uffd-microguest make-image FILE --length BYTES\n";

static int make_image(const char *path, uint64_t length)
{
	int error = image_make(path, length, 5, 0);

	if (!error)
		error = vm_install_program(path);
	if (error)
		fprintf(stderr, "%s: %s\n", path, strerror(error));
	return error != 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"socket", required_argument, NULL, 's'},
		{"image", required_argument, NULL, 'i'},
		{"version", required_argument, NULL, 'v'},
		{"huge", no_argument, NULL, 'h'},
		{"regions", required_argument, NULL, 'r'},
		{"vcpus", required_argument, NULL, 'c'},
		{"patience", required_argument, NULL, 'p'},
		{"length", required_argument, NULL, 'l'},
		{0},
	};
	struct memory_options options = {
		.version = version_named("1.14"), .regions = 1, .balloon = true};
	const char *socket = NULL;
	const char *image = NULL;
	unsigned int vcpus = 2;
	unsigned int patience = 60;
	struct stat status;
	int option;

	arguments_begin("uffd-microguest", usage);
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			socket = optarg;
			break;
		case 'i':
			image = optarg;
			break;
		case 'v':
			options.version = version_named(optarg);
			break;
		case 'h':
			options.huge = true;
			break;
		case 'r':
			options.regions = (unsigned int)parse_number(optarg);
			break;
		case 'c':
			vcpus = (unsigned int)parse_number(optarg);
			break;
		case 'p':
			patience = (unsigned int)parse_number(optarg);
			break;
		case 'l':
			options.length = parse_number(optarg);
			break;
		default:
			usage_error("wrong usage");
		}
	}
	const char *mode = optind < argc ? argv[optind] : "";

	if (strcmp(mode, "make-image") == 0 && optind == argc - 2)
		return make_image(argv[optind + 1], options.length);
	bool is_script = strcmp(mode, "script") == 0;

	if ((strcmp(mode, "run") != 0 && !is_script) || optind != argc - 1 || !socket || !image ||
	    !options.version || vcpus == 0 || vcpus > MAX_VCPUS || options.regions == 0 ||
	    options.regions >= MAX_REGIONS)
		usage_error("wrong usage");
	if (stat(image, &status) < 0)
		report_setup(errno, "%s", image);
	options.length = (uint64_t)status.st_size;
	return (is_script ? obey_script : run)(&options, socket, image, vcpus, patience);
}
