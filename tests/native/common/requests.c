/* requests.c - what a session asks of the manager (link.h). */
#include <errno.h>
#include <string.h>

#include "exchange.h"
#include "kernel.h"
#include "watch.h"

bool link_register(struct link *link, const struct link_range *range)
{
	const char *const strings[] = {range->policy ? range->policy : "",
				       range->path ? range->path : "", NULL};
	struct request request = {
		.descriptor = range->source,
		.body.reg = {.start = range->start,
			     .length = range->length,
			     .modes = range->modes,
			     .flags = range->flags |
				      (range->source >= 0 ? UFFDM_REGISTER_SOURCE_FD : 0),
			     .source_offset = range->offset,
			     .map_id = range->map_id},
	};
	struct answer answer;

	request_prepare(&request, UFFDM_REGISTER, sizeof(request.body.reg), UFFDM_REGISTERED,
			strings);
	link_call(link, &request, &answer);

	const struct uffdm_error *error = answer_error(&answer);

	if (error && error->error != EAGAIN)
		answer_refused(&answer, "REGISTER");
	return !error;
}

int link_map(struct link *link, uint64_t length, int source, const char *path, const char *name,
	     uint64_t *map_id)
{
	const char *const strings[] = {"", path ? path : "", name, NULL};
	struct request request = {
		.descriptor = path ? -1 : source,
		.body.map = {.length = length,
			     .flags = (path ? 0 : UFFDM_MAP_SOURCE_FD) |
				      (*name ? UFFDM_MAP_WRITABLE : 0)},
	};
	struct answer answer;

	request_prepare(&request, UFFDM_MAP, sizeof(request.body.map), UFFDM_MAPPED, strings);
	link_call(link, &request, &answer);
	if (answer_error(&answer))
		answer_refused(&answer, "MAP");
	*map_id = ((const struct uffdm_mapped *)answer_body(&answer, sizeof(struct uffdm_mapped)))
			  ->map_id;
	if (answer.descriptor < 0)
		watch_fail("MAPPED without a descriptor");
	return answer.descriptor;
}

void link_unregister(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.range = {.start = start, .length = length},
	};
	struct answer answer;

	request_prepare(&request, UFFDM_UNREGISTER, sizeof(request.body.range), UFFDM_DONE, NULL);
	link_call(link, &request, &answer);
	/* Asked for the second time, it has been done already. */
	if (answer_error(&answer) && answer_error(&answer)->code != UFFDM_CODE_NOT_FOUND)
		answer_refused(&answer, "UNREGISTER");
}

void link_prefetch(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.range = {.start = start, .length = length},
	};
	struct answer answer;

	request_prepare(&request, UFFDM_PREFETCH, sizeof(request.body.range), UFFDM_DONE, NULL);
	link_call(link, &request, &answer);
	/* Too many at a time is an answer; whatever else must not be. */
	if (answer_error(&answer) && answer_error(&answer)->code != UFFDM_CODE_LIMIT)
		answer_refused(&answer, "PREFETCH");
}

void link_protect(struct link *link, uint64_t start, uint64_t length)
{
	struct request request = {
		.descriptor = -1,
		.body.protect = {.start = start, .length = length, .protect = 1},
	};
	struct answer answer;

	request_prepare(&request, UFFDM_WRITE_PROTECT, sizeof(request.body.protect), UFFDM_DONE,
			NULL);
	link_call(link, &request, &answer);
	if (answer_error(&answer))
		answer_refused(&answer, "WRITE_PROTECT");
}

void link_status(struct link *link)
{
	struct request request = {.descriptor = -1};
	struct answer answer;

	request_prepare(&request, UFFDM_STATUS, 0, UFFDM_STATUS_REPLY, NULL);
	link_call(link, &request, &answer);
	if (answer_error(&answer))
		answer_refused(&answer, "STATUS");
	const struct uffdm_status_reply *status = answer_body(&answer, sizeof(*status));

	if (status->session_id != link->session)
		watch_fail("STATUS of session %lu answered for session %lu", link->session,
			   status->session_id);
}

void *link_map_mailbox(struct link *link, void *at)
{
	void *mailbox = mmap(at, BASE_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (mailbox == MAP_FAILED)
		watch_fail("mmap: %s", strerror(errno));
	struct link_range range = {
		.start = (uint64_t)(uintptr_t)mailbox,
		.length = BASE_PAGE,
		.modes = UFFDM_MODE_MISSING,
		.flags = UFFDM_REGISTER_MAILBOX,
		.source = -1,
	};

	link_register(link, &range);
	return mailbox;
}
