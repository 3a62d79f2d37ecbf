/* cut.h - whether a snapshot is a state that the memory has been in. */
#ifndef MODEL_CUT_H
#define MODEL_CUT_H

#include "picture.h"

struct cut {
	uint64_t of[MAX_WORKERS]; /* events of each worker since the record began */
};

/* `latest` is how many events of each worker may have taken place at the instant. Ends the program
 * if there is no such state; else the earliest. */
struct cut cut_find(const struct picture *picture, const struct cut *latest);

#endif
