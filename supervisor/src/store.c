#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "descriptor.h"
#include "log.h"
#include "store.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3) /* Linux 6.10 */
#endif

bool store_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
			return false;
	return length > 0 && length <= STORE_NAME_MAX;
}

bool store_open(struct store *store, unsigned max, size_t name_bytes_max, int epoll)
{
	*store = (struct store){.max = max, .name_bytes_max = name_bytes_max, .epoll = epoll};
	/* Pages that are never touched cost nothing. */
	store->entries = calloc(max ? max : 1, sizeof(*store->entries));
	store->by_file = calloc(max ? max : 1, sizeof(*store->by_file));
	return store->entries && store->by_file;
}

enum order { SAME, BEFORE, AFTER, UNKNOWN };

/* Containers' seccomp filters often forbid kcmp(2); fcntl(2) answers the half of the question. */
static enum order compare(int left, int right)
{
	static bool has_order = true;

	if (has_order) {
		switch (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, left, right)) {
		case 0:
			return SAME;
		case 1:
			return BEFORE;
		case 2:
			return AFTER;
		default:
			has_order = false;
		}
	}
	return fcntl(left, F_DUPFD_QUERY, right) == 1 ? SAME : UNKNOWN;
}

/* Without an order every place is as good as another, and all have to be looked at. */
static unsigned search_all(const struct store *store, int fd, bool *found)
{
	for (unsigned i = 0; i < store->count; i++) {
		if (compare(fd, store->by_file[i]) == SAME) {
			*found = true;
			return i;
		}
	}
	return store->count;
}

/* Where fd belongs in by_file; sets found if the same description is there already. */
static unsigned find_place(const struct store *store, int fd, bool *found)
{
	unsigned low = 0, high = store->count;

	*found = false;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		switch (compare(fd, store->by_file[middle])) {
		case SAME:
			*found = true;
			return middle;
		case BEFORE:
			high = middle;
			break;
		case AFTER:
			low = middle + 1;
			break;
		case UNKNOWN:
			return search_all(store, fd, found);
		}
	}
	return low;
}

static const char *name_of(const struct store *store, int fd)
{
	for (unsigned i = 0; i < store->count; i++)
		if (store->entries[i].fd == fd)
			return store->entries[i].name;
	return "";
}

enum store_outcome store_add(struct store *store, const char *name, int fd, bool poll,
			     const char **same_as)
{
	size_t bytes = strlen(name) + 1;
	bool is_there;
	unsigned place = find_place(store, fd, &is_there);
	struct stored *entry;

	if (is_there)
		*same_as = name_of(store, store->by_file[place]);
	if (is_there || store->count == store->max ||
	    store->name_bytes + bytes > store->name_bytes_max) {
		descriptor_close(fd);
		return is_there			    ? STORE_DUPLICATE
		       : store->count == store->max ? STORE_FULL
						    : STORE_NAMES_FULL;
	}
	memmove(store->by_file + place + 1, store->by_file + place,
		(store->count - place) * sizeof(*store->by_file));
	store->by_file[place] = fd;
	entry = &store->entries[store->count++];
	*entry = (struct stored){.fd = fd, .id = ++store->last_id};
	memcpy(entry->name, name, bytes);
	store->name_bytes += bytes;
	if (poll) {
		struct epoll_event event = {.data.u64 = entry->id};

		/* Regular files cannot be polled, and never have anything to report. */
		entry->is_polled = epoll_ctl(store->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
	}
	return STORE_ADDED;
}

unsigned store_remove_if(struct store *store, bool (*predicate)(const struct stored *, void *),
			 void *context)
{
	unsigned kept = 0, left = 0, removed;

	/* Who is to go is marked in the order by file first, so that both lists are walked once. */
	for (unsigned i = 0; i < store->count; i++) {
		struct stored *entry = &store->entries[i];

		if (!predicate(entry, context)) {
			if (kept != i)
				store->entries[kept] = *entry;
			kept++;
			continue;
		}
		for (unsigned j = 0; j < store->count; j++) {
			if (store->by_file[j] == entry->fd) {
				store->by_file[j] = -1;
				break;
			}
		}
		/* Others may hold the description, so closing alone does not end the watch. */
		if (entry->is_polled)
			epoll_ctl(store->epoll, EPOLL_CTL_DEL, entry->fd, NULL);
		store->name_bytes -= strlen(entry->name) + 1;
		descriptor_close(entry->fd);
	}
	removed = store->count - kept;
	if (removed) {
		for (unsigned i = 0; i < store->count; i++)
			if (store->by_file[i] != -1)
				store->by_file[left++] = store->by_file[i];
	}
	store->count = kept;
	return removed;
}

static bool has_name(const struct stored *entry, void *name)
{
	return strcmp(entry->name, name) == 0;
}

unsigned store_remove(struct store *store, const char *name)
{
	return store_remove_if(store, has_name, (char *)name);
}

static bool has_id(const struct stored *entry, void *id)
{
	return entry->id == *(uint64_t *)id;
}

bool store_remove_id(struct store *store, uint64_t id, char *name)
{
	for (unsigned i = 0; i < store->count; i++) {
		if (store->entries[i].id == id) {
			memcpy(name, store->entries[i].name, sizeof(store->entries[i].name));
			return store_remove_if(store, has_id, &id) == 1;
		}
	}
	return false;
}
