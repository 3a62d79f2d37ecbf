/* hostile-text.c - hand-overs whose text is none, or tells of memory that cannot be. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "attempt.h"

#define DEEP 100000ul

static void say(struct attempt *attempt, const char *text)
{
	attempt->length = (size_t)snprintf(attempt->text, ENDLESS, "%s", text);
}

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
	attempt_retell(attempt);
}

static void kernel_address(struct attempt *attempt)
{
	attempt->guest.memory.region[0].base = (uint8_t *)0xffff888000000000ul;
	attempt_retell(attempt);
}

static void unmapped(struct attempt *attempt)
{
	struct region *region = &attempt->guest.memory.region[0];
	void *gap = mmap(NULL, region->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(gap, region->size);
	region->base = gap;
	attempt_retell(attempt);
}

static void overlap(struct attempt *attempt)
{
	struct memory *memory = &attempt->guest.memory;

	memory->region[1].base = memory->region[0].base + memory->page_size;
	attempt_retell(attempt);
}

static void unaligned(struct attempt *attempt)
{
	attempt->guest.memory.region[0].base += 8;
	attempt_retell(attempt);
}

static void unaligned_offset(struct attempt *attempt)
{
	attempt->guest.memory.region[0].offset += 512;
	attempt_retell(attempt);
}

static void no_size(struct attempt *attempt)
{
	attempt->guest.memory.region[0].size = 0;
	attempt_retell(attempt);
}

static void past_end(struct attempt *attempt)
{
	struct memory *memory = &attempt->guest.memory;

	memory->region[1].offset = memory->length - memory->page_size;
	attempt_retell(attempt);
}

static void odd_page_size(struct attempt *attempt)
{
	attempt->guest.memory.page_size = 3000;
	attempt_retell(attempt);
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
	attempt_retell(attempt);
}

const struct hostile_kind hostile_texts[] = {
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
	{0},
};
