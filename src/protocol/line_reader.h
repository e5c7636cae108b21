/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Cuts the bytes of a stream into lines of bounded length.  Whole lines are
 * handed out from where they were read; memory is held only for a line whose end
 * has not come.  A longer line is skipped to its end, and counted.
 *
 *	line_reader_begin(&l, data, len);
 *	while (line_reader_next(&l, &line, &n))
 *		...
 */
struct line_reader {
	size_t most; /* of a line without its '\n' */
	struct buffer part;
	bool whole; /* `part` was handed out */
	bool skipping;
	uint64_t skipped; /* lines */
	const char *at;   /* read, and not looked at yet */
	size_t left;
};

void line_reader_init(struct line_reader *l, size_t most);
void line_reader_fini(struct line_reader *l);

/* Begin new data; earlier data must have been taken to their end. */
void line_reader_begin(struct line_reader *l, const char *data, size_t len);
/* The next line, valid until the next call; false: no more whole lines.  A line for
 * which memory is missing is skipped, too. */
bool line_reader_next(struct line_reader *l, const char **line, size_t *len);

/* Has the stream ended between two lines? */
static inline bool line_reader_at_start(const struct line_reader *l)
{
	return l->part.len == 0 && !l->skipping;
}
