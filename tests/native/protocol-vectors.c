/*
 * Reads protocol/vectors/ *.hex through protocol.h and compares every field, so that the header
 * shows the same bytes as the C# codec, whose tests read the same files.
 *
 * usage: protocol-vectors FILE...; exit 0: all agree, 1: a difference (told on stderr), 64: usage.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uffd_manager/protocol.h"

struct field {
	const char *name;
	size_t offset;
	size_t size;
};

struct layout {
	unsigned int type;
	size_t fixed;
	struct field fields[16];
	const char *strings[4];
};

#define AT(type, member) #member, offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct layout layouts[] = {
	{UFFDM_HELLO,
	 sizeof(struct uffdm_hello),
	 {{AT(uffdm_hello, min_version)},
	  {AT(uffdm_hello, max_version)},
	  {AT(uffdm_hello, flags)},
	  {AT(uffdm_hello, requested_features)},
	  {AT(uffdm_hello, token)}},
	 {"label", "policy"}},
	{UFFDM_WELCOME,
	 sizeof(struct uffdm_welcome),
	 {{AT(uffdm_welcome, version)},
	  {AT(uffdm_welcome, flags)},
	  {AT(uffdm_welcome, page_size)},
	  {AT(uffdm_welcome, session_id)},
	  {AT(uffdm_welcome, resume_token)},
	  {AT(uffdm_welcome, features_enabled)},
	  {AT(uffdm_welcome, features_available)},
	  {AT(uffdm_welcome, max_registered_bytes)},
	  {AT(uffdm_welcome, max_regions)}},
	 {"tenant", "policy"}},
	{UFFDM_ATTACH,
	 sizeof(struct uffdm_attach),
	 {{AT(uffdm_attach, flags)}, {AT(uffdm_attach, requested_features)}},
	 {0}},
	{UFFDM_REGISTER,
	 sizeof(struct uffdm_register),
	 {{AT(uffdm_register, start)},
	  {AT(uffdm_register, length)},
	  {AT(uffdm_register, modes)},
	  {AT(uffdm_register, flags)},
	  {AT(uffdm_register, source_offset)},
	  {AT(uffdm_register, map_id)}},
	 {"policy", "source"}},
	{UFFDM_REGISTERED,
	 sizeof(struct uffdm_registered),
	 {{AT(uffdm_registered, ioctls)}, {AT(uffdm_registered, region_id)}},
	 {0}},
	{UFFDM_UNREGISTER,
	 sizeof(struct uffdm_range),
	 {{AT(uffdm_range, start)}, {AT(uffdm_range, length)}},
	 {0}},
	{UFFDM_MAP,
	 sizeof(struct uffdm_map),
	 {{AT(uffdm_map, length)}, {AT(uffdm_map, source_offset)}, {AT(uffdm_map, flags)}},
	 {"policy", "source", "name"}},
	{UFFDM_MAPPED,
	 sizeof(struct uffdm_mapped),
	 {{AT(uffdm_mapped, map_id)}, {AT(uffdm_mapped, length)}, {AT(uffdm_mapped, flags)}},
	 {0}},
	{UFFDM_PREFETCH,
	 sizeof(struct uffdm_range),
	 {{AT(uffdm_range, start)}, {AT(uffdm_range, length)}},
	 {0}},
	{UFFDM_DONE, sizeof(struct uffdm_done), {{AT(uffdm_done, value)}}, {0}},
	{UFFDM_WAKE,
	 sizeof(struct uffdm_range),
	 {{AT(uffdm_range, start)}, {AT(uffdm_range, length)}},
	 {0}},
	{UFFDM_WRITE_PROTECT,
	 sizeof(struct uffdm_write_protect),
	 {{AT(uffdm_write_protect, start)},
	  {AT(uffdm_write_protect, length)},
	  {AT(uffdm_write_protect, protect)}},
	 {0}},
	{UFFDM_STATUS, 0, {{0}}, {0}},
	{UFFDM_STATUS_REPLY,
	 sizeof(struct uffdm_status_reply),
	 {{AT(uffdm_status_reply, session_id)},
	  {AT(uffdm_status_reply, uptime_ns)},
	  {AT(uffdm_status_reply, regions)},
	  {AT(uffdm_status_reply, registered_bytes)},
	  {AT(uffdm_status_reply, resident_bytes)},
	  {AT(uffdm_status_reply, faults)},
	  {AT(uffdm_status_reply, copied_bytes)},
	  {AT(uffdm_status_reply, zeroed_bytes)},
	  {AT(uffdm_status_reply, deferrals)},
	  {AT(uffdm_status_reply, poisoned_pages)},
	  {AT(uffdm_status_reply, in_flight)},
	  {AT(uffdm_status_reply, p50_ns)},
	  {AT(uffdm_status_reply, p90_ns)},
	  {AT(uffdm_status_reply, p99_ns)},
	  {AT(uffdm_status_reply, p999_ns)}},
	 {"tenant", "policy", "state"}},
	{UFFDM_BYE, 0, {{0}}, {0}},
	{UFFDM_ERROR,
	 sizeof(struct uffdm_error),
	 {{"errno", offsetof(struct uffdm_error, error), sizeof(int32_t)},
	  {AT(uffdm_error, code)},
	  {AT(uffdm_error, flags)},
	  {AT(uffdm_error, holder_pid)},
	  {AT(uffdm_error, holder_session)},
	  {AT(uffdm_error, holder_start)},
	  {AT(uffdm_error, holder_length)}},
	 {"holder_tenant", "text"}},
	{UFFDM_GOODBYE, sizeof(struct uffdm_goodbye), {{AT(uffdm_goodbye, reason)}}, {"text"}},
};

struct vector {
	const char *file;
	char expect[64];
	bool frame_valid;
	size_t descriptors;
	unsigned long type, request_id, flags;
	struct {
		char name[32];
		uint64_t value;
		bool used;
	} fields[16];
	size_t field_count;
	struct {
		char name[32];
		char value[128];
	} strings[4];
	size_t string_count;
	_Alignas(8) unsigned char bytes[UFFDM_MAX_MESSAGE];
	size_t length;
};

static int failures;

static void differ(const struct vector *v, const char *what, uint64_t expected, uint64_t found)
{
	fprintf(stderr, "%s: %s: expected %llu, found %llu\n", v->file, what,
		(unsigned long long)expected, (unsigned long long)found);
	failures++;
}

static void unreadable(const struct vector *v, const char *line)
{
	fprintf(stderr, "%s: cannot read the line '%s'\n", v->file, line);
	exit(1);
}

static void read_hex(struct vector *v, char *line)
{
	char *comment = strchr(line, '#');

	if (comment)
		*comment = 0;
	for (char *at = strtok(line, " \n"); at; at = strtok(NULL, " \n")) {
		char *end;
		unsigned long byte = strtoul(at, &end, 16);

		if (*end || byte > 0xff || v->length == sizeof(v->bytes))
			unreadable(v, at);
		v->bytes[v->length++] = (unsigned char)byte;
	}
}

static void read_directive(struct vector *v, char *line)
{
	char word[32], name[32], rest[128] = "";

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%31s", word) != 1)
		return;
	if (!strcmp(word, "field") && v->field_count < 16) {
		if (sscanf(line, "field %31s %127s", v->fields[v->field_count].name, rest) != 2)
			unreadable(v, line);
		v->fields[v->field_count++].value = strtoull(rest, NULL, 10);
	} else if (!strcmp(word, "string") && v->string_count < 4) {
		if (sscanf(line, "string %31s %127[^\n]", name, rest) < 1)
			unreadable(v, line);
		strcpy(v->strings[v->string_count].name, name);
		strcpy(v->strings[v->string_count++].value, rest);
	} else if (sscanf(line, "%31s %63s", word, rest) != 2) {
		unreadable(v, line);
	} else if (!strcmp(word, "expect")) {
		strcpy(v->expect, rest);
	} else if (!strcmp(word, "frame")) {
		v->frame_valid = !strcmp(rest, "valid");
	} else if (!strcmp(word, "descriptors")) {
		v->descriptors = strtoul(rest, NULL, 10);
	} else if (!strcmp(word, "type")) {
		v->type = strtoul(rest, NULL, 10);
	} else if (!strcmp(word, "request_id")) {
		v->request_id = strtoul(rest, NULL, 10);
	} else if (!strcmp(word, "flags")) {
		v->flags = strtoul(rest, NULL, 10);
	} else {
		unreadable(v, line);
	}
}

static void read_vector(struct vector *v, const char *file)
{
	char line[4096];
	bool in_bytes = false;
	FILE *stream = fopen(file, "r");

	memset(v, 0, sizeof(*v));
	v->file = file;
	if (!stream) {
		fprintf(stderr, "%s: %s\n", file, strerror(errno));
		exit(1);
	}
	while (fgets(line, sizeof(line), stream)) {
		if (line[0] == '#')
			continue;
		if (in_bytes)
			read_hex(v, line);
		else if (!strcmp(line, "bytes\n"))
			in_bytes = true;
		else
			read_directive(v, line);
	}
	fclose(stream);
}

static uint64_t load(const unsigned char *at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static void check_body(struct vector *v, const struct layout *layout)
{
	const unsigned char *body = v->bytes + sizeof(struct uffdm_header);
	size_t at = sizeof(struct uffdm_header) + layout->fixed;
	size_t fields = 0, strings = 0;
	const char *text;
	size_t length;

	for (const struct field *f = layout->fields; f < layout->fields + 16 && f->name;
	     f++, fields++) {
		if (fields >= v->field_count || strcmp(v->fields[fields].name, f->name))
			differ(v, f->name, fields, v->field_count);
		else if (load(body + f->offset, f->size) != v->fields[fields].value)
			differ(v, f->name, v->fields[fields].value,
			       load(body + f->offset, f->size));
	}
	if (fields != v->field_count)
		differ(v, "number of fields", v->field_count, fields);

	for (; strings < 4 && layout->strings[strings]; strings++) {
		at = uffdm_get_string(v->bytes, v->length, at, &text, &length);
		if (strings >= v->string_count ||
		    strcmp(v->strings[strings].name, layout->strings[strings]))
			differ(v, layout->strings[strings], strings, v->string_count);
		else if (at == 0 || length != strlen(v->strings[strings].value) ||
			 memcmp(text, v->strings[strings].value, length))
			differ(v, layout->strings[strings], strlen(v->strings[strings].value),
			       length);
	}
	if (at != v->length)
		differ(v, "length of the message", v->length, at);
}

/* Builds the strings again with uffdm_put_string and wants the same bytes. */
static void check_strings_again(struct vector *v, const struct layout *layout)
{
	static unsigned char again[UFFDM_MAX_MESSAGE];
	size_t at = sizeof(struct uffdm_header) + layout->fixed;

	memcpy(again, v->bytes, at);
	for (size_t i = 0; i < v->string_count; i++)
		at = uffdm_put_string(again, v->length, at, v->strings[i].value,
				      strlen(v->strings[i].value));
	if (at != v->length || memcmp(again, v->bytes, v->length))
		differ(v, "length of the message built again", v->length, at);
	if (v->string_count && uffdm_put_string(again, at - 1, at - 2, "", 0) != 0)
		differ(v, "put_string beyond the buffer", 0, 1);
}

static void check(struct vector *v)
{
	const struct uffdm_header *header = (const void *)v->bytes;
	bool valid = uffdm_frame_is_valid(v->bytes, v->length, v->descriptors);

	if (valid != v->frame_valid)
		differ(v, "validity of the frame", v->frame_valid, valid);
	if (strcmp(v->expect, "ok"))
		return;

	if (header->type != v->type)
		differ(v, "type", v->type, header->type);
	if (header->request_id != v->request_id)
		differ(v, "request_id", v->request_id, header->request_id);
	if (header->flags != v->flags)
		differ(v, "flags", v->flags, header->flags);
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (layouts[i].type != v->type)
			continue;
		check_body(v, &layouts[i]);
		check_strings_again(v, &layouts[i]);
		return;
	}
	differ(v, "a type without a layout", 0, v->type);
}

int main(int argc, char **argv)
{
	static struct vector v;

	if (argc < 2) {
		fprintf(stderr, "usage: protocol-vectors FILE...\n");
		return 64;
	}
	for (int i = 1; i < argc; i++) {
		read_vector(&v, argv[i]);
		check(&v);
	}
	if (failures == 0)
		printf("%d vectors agree\n", argc - 1);
	return failures ? 1 : 0;
}
