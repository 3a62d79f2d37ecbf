#include "arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *name;
static const char *right;

void arguments_begin(const char *program, const char *usage)
{
	name = program;
	right = usage;
}

void usage_error(const char *what)
{
	fprintf(stderr, "%s: %s\n%s", name, what, right);
	exit(EXIT_USAGE);
}

uint64_t parse_number(const char *text)
{
	char *end;

	errno = 0;
	uint64_t value = strtoull(text, &end, 0);

	if (errno || end == text || *end)
		usage_error(text);
	return value;
}
