#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"

#define LINE_BYTES 1024
/* How long a full pipe may hold us up for one line. */
#define PATIENCE_MS 100
#define BURST 10
#define BURST_WINDOW (10 * SECOND)

bool log_is_verbose;

static void put(const char *line, size_t length)
{
	static unsigned lost;
	struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};

	/* A pipe that polls as writable has room for PIPE_BUF bytes, so this write cannot wait. */
	if (poll(&standard_error, 1, lost ? 0 : PATIENCE_MS) != 1 ||
	    write(STDERR_FILENO, line, length) < 0) {
		lost++;
		return;
	}
	if (lost) {
		char note[80];
		int size = snprintf(note, sizeof(note), NAME ": %u log lines were lost\n", lost);

		lost = 0;
		if (poll(&standard_error, 1, 0) == 1 && write(STDERR_FILENO, note, size) < 0)
			lost = 1;
	}
}

static void write_line(const char *format, va_list arguments)
{
	char line[LINE_BYTES] = NAME ": ";
	size_t length = strlen(line);
	int saved = errno;
	int size = vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);

	if (size > 0)
		length += (size_t)size < sizeof(line) - length - 1 ? (size_t)size
								   : sizeof(line) - length - 2;
	line[length++] = '\n';
	put(line, length);
	errno = saved;
}

void log_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

void log_detail(const char *format, ...)
{
	va_list arguments;

	if (!log_is_verbose)
		return;
	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
	uint64_t now = clock_now();
	va_list arguments;

	if (now - limit->window >= BURST_WINDOW) {
		if (limit->suppressed)
			log_line("%u lines like the next one were left out", limit->suppressed);
		*limit = (struct log_limit){.window = now};
	}
	if (limit->lines == BURST) {
		limit->suppressed++;
		return;
	}
	limit->lines++;
	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

const char *log_safe(char *to, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i]; i++)
		to[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	to[i] = 0;
	return to;
}
