/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_LINEUP_H
#define PROTOCOL_LINEUP_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Cuts the bytes of a stream into lines of bounded length.  Whole lines are
 * handed out from where they were read; memory is held only for a line whose end
 * has not come.  A longer line is skipped to its end, and counted.
 *
 *	lineup_begin(&l, data, len);
 *	while (lineup_next(&l, &line, &n))
 *		...
 */
struct lineup {
	size_t most; /* of a line without its '\n' */
	struct buffer part;
	bool whole; /* `part` was handed out */
	bool skipping;
	uint64_t skipped; /* lines */
	const char *at;   /* read, and not looked at yet */
	size_t left;
	char *kept; /* heap: lineup_keep() */
};

void lineup_init(struct lineup *l, size_t most);
void lineup_fini(struct lineup *l);

/* Begin new data; earlier data must have been taken to their end. */
void lineup_begin(struct lineup *l, const char *data, size_t len);
/* The next line, valid until the next call; false: no more whole lines.  A line for
 * which memory is missing is skipped, too. */
bool lineup_next(struct lineup *l, const char **line, size_t *len);

/* Stop between two lines, and hand out the others later: the data may be freed, as
 * the rest is copied.  The last line is not valid any more.  False: no rest, or out
 * of memory: go on. */
bool lineup_keep(struct lineup *l);

/* Is there a rest of the data? */
static inline bool lineup_waits(const struct lineup *l)
{
	return l->left > 0;
}

/* Has the stream ended between two lines? */
static inline bool lineup_at_start(const struct lineup *l)
{
	return l->left > 0 ? l->at[l->left - 1] == '\n' : l->part.len == 0 && !l->skipping;
}

#endif
