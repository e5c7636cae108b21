/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_LINES_H
#define LOGGER_LINES_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Cuts the bytes of a pipe into lines.  Whole lines are handed on from where they
 * were read; only the part of a line that has no newline yet is kept.  A line
 * over LINES_MAX is handed on in pieces, cut between characters where it is
 * UTF-8; put together they are the line, byte for byte.
 */
#define LINES_MAX 8192

struct lines {
	struct buffer part; /* has memory only while a line is incomplete */
	bool cut;           /* the next piece continues a line that was cut */
};

struct line {
	const char *text; /* without its newline; may contain NULs */
	size_t len;
	bool goes_on;  /* it continues the piece before */
	bool ends;     /* the next piece does not continue it */
	size_t behind; /* how many bytes were read after it */
};

typedef void lines_take(void *context, const struct line *line);

void lines_init(struct lines *lines);
void lines_fini(struct lines *lines);
void lines_split(
	struct lines *lines, const char *data, size_t len, lines_take *take, void *context);
/* The pipe is at its end: hand on a line that has no newline. */
void lines_end(struct lines *lines, lines_take *take, void *context);

#endif
