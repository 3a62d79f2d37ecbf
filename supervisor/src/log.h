/*
 * One line per event on standard error, "uffd-supervise: " in front. Never blocks for long and
 * never allocates: who supervises must not hang because nobody reads its log.
 */
#ifndef SUPERVISE_LOG_H
#define SUPERVISE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME "uffd-supervise"

extern bool log_is_verbose;

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Only with --verbose. */
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For what others can cause as often as they like: ten lines in ten seconds, then a count. One per
 * kind of line, so that nobody can drown what another one has to say. */
struct log_limit {
	uint64_t window;
	unsigned lines, suppressed;
};

void log_limited(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Copies text of others so that it can be shown: at most size - 1 bytes, anything but printable
 * ASCII becomes '?'. Returns to. */
const char *log_safe(char *to, size_t size, const char *text);

#endif
