#include <string.h>
#include "message.h"
#include "sys.h"

static char *append(char *to, const char *end, const char *text)
{
	while (*text && to < end)
		*to++ = *text++;
	return to;
}

void message_failure(const char *text, const char *step, int error)
{
	char line[512];
	const char *end = line + sizeof(line) - 1;
	char *to = append(line, end, "uffd-shim: ");

	to = append(to, end, text);
	if (step) {
		to = append(to, end, ": ");
		to = append(to, end, step);
	}
	if (error) {
		const char *name = strerrordesc_np(error);

		to = append(to, end, ": ");
		to = append(to, end, name ? name : "unknown error");
	}
	*to++ = '\n';
	sys3(SYS_write, 2, line, to - line);
}

void message_say(const char *text, int error)
{
	message_failure(text, NULL, error);
}
