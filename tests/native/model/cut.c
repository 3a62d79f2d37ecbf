#include "cut.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "watch.h"

/* Of one worker: after how many of its events its pages were as the snapshot has them. */
struct moments {
	bool *fits;
	uint64_t count;
	uint64_t best; /* with the fewest pages that differ */
	size_t fewest;
};

struct replay {
	const struct picture *picture;
	struct page *page[MAX_REGIONS];
	size_t different;
};

static bool differs(const struct replay *replay, const struct region *region, size_t page)
{
	return !picture_agrees(replay->picture, region, page, &replay->page[region->number][page]);
}

static void begin(struct replay *replay, const struct picture *picture, unsigned int worker)
{
	memset(replay, 0, sizeof(*replay));
	replay->picture = picture;
	for (unsigned int i = 0; i < model.regions; i++) {
		const struct region *region = &model.region[i];

		replay->page[i] = malloc(region->shape.pages * sizeof(struct page));
		if (!replay->page[i])
			watch_fail("no memory");
		memcpy(replay->page[i], region->before, region->shape.pages * sizeof(struct page));
		for (size_t page = 0; page < region->shape.pages; page++)
			if (owner_of(region, page) == worker)
				replay->different += differs(replay, region, page);
	}
}

static void end(struct replay *replay)
{
	for (unsigned int i = 0; i < model.regions; i++)
		free(replay->page[i]);
}

static void step(struct replay *replay, const struct event *event)
{
	const struct region *region = &model.region[event->region];

	for (size_t page = event->first; page < event->first + event->count; page++) {
		replay->different -= differs(replay, region, page);
		record_apply(event, region, page, &replay->page[event->region][page]);
		replay->different += differs(replay, region, page);
	}
}

static struct moments find_moments(const struct picture *picture, unsigned int worker,
				   uint64_t latest)
{
	struct moments moments = {.count = latest, .fewest = SIZE_MAX};
	struct replay replay;

	moments.fits = calloc(latest + 1, sizeof(bool));
	if (!moments.fits)
		watch_fail("no memory");
	begin(&replay, picture, worker);
	for (uint64_t n = 0;; n++) {
		moments.fits[n] = replay.different == 0;
		if (replay.different < moments.fewest) {
			moments.fewest = replay.different;
			moments.best = n;
		}
		if (n == latest)
			break;
		step(&replay, &record[worker].event[n]);
	}
	end(&replay);
	return moments;
}

/* The first page that is wrong at the moment with the fewest wrong ones. */
static _Noreturn void explain(const struct picture *picture, unsigned int worker,
			      const struct moments *moments)
{
	struct replay replay;

	begin(&replay, picture, worker);
	for (uint64_t n = 0; n < moments->best; n++)
		step(&replay, &record[worker].event[n]);
	for (unsigned int i = 0; i < model.regions; i++) {
		const struct region *region = &model.region[i];

		for (size_t page = 0; page < region->shape.pages; page++) {
			const struct page *state = &replay.page[i][page];
			const struct picture_page *seen = &picture->page[i][page];

			if (owner_of(region, page) != worker || !differs(&replay, region, page))
				continue;
			watch_fail(
				"the snapshot is no state that the pages of worker %u were ever "
				"in: nearest is the one after %lu of %lu events (from %lu on), "
				"with %zu wrong pages, first region %u (kind %u) page %zu: at %p "
				"with %lx %lx %lx %lx, zeros %d source %d, must be at %p with "
				"%lx %lx %lx %lx, zero %d",
				worker, moments->best, moments->count, record[worker].base,
				moments->fewest, i, region->shape.kind, page, (void *)seen->at,
				seen->slot[0], seen->slot[1], seen->slot[2], seen->slot[3],
				seen->can_be_zero, seen->can_be_source, (void *)state->at,
				state->slot[0], state->slot[1], state->slot[2], state->slot[3],
				state->zero);
		}
	}
	watch_fail("the test itself is wrong: nothing differs");
}

/* The first moment from `from` on that fits, or one past the last. */
static uint64_t next_fit(const struct moments *moments, uint64_t from)
{
	while (from <= moments->count && !moments->fits[from])
		from++;
	return from;
}

struct cut cut_find(const struct picture *picture, const struct cut *latest)
{
	struct moments moments[MAX_WORKERS];
	struct cut cut;
	bool moved;

	for (unsigned int worker = 0; worker < model.workers; worker++) {
		moments[worker] = find_moments(picture, worker, latest->of[worker]);
		cut.of[worker] = next_fit(&moments[worker], 0);
		if (cut.of[worker] > moments[worker].count)
			explain(picture, worker, &moments[worker]);
	}
	do {
		moved = false;
		for (unsigned int worker = 0; worker < model.workers; worker++) {
			if (cut.of[worker] == 0)
				continue;
			const struct event *last = &record[worker].event[cut.of[worker] - 1];

			for (unsigned int other = 0; other < model.workers; other++) {
				uint64_t seen = last->seen[other] > record[other].base
							? last->seen[other] - record[other].base
							: 0;

				if (other == worker || seen <= cut.of[other])
					continue;
				uint64_t next = seen > moments[other].count
							? seen
							: next_fit(&moments[other], seen);

				if (next > moments[other].count)
					watch_fail(
						"the snapshot is no single instant: it has event "
						"%lu of worker %u, which had seen event %lu of "
						"worker %u, and not that one (%lu at most fit, "
						"of %lu)",
						cut.of[worker], worker, seen, other, cut.of[other],
						moments[other].count);
				cut.of[other] = next;
				moved = true;
			}
		}
	} while (moved);
	for (unsigned int worker = 0; worker < model.workers; worker++)
		free(moments[worker].fits);
	return cut;
}
