/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_TAIL_H
#define LOGGER_TAIL_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The last words of a worker, cleaned (no escape sequences, no control bytes),
 * for the sentence about its death: the line that explains the death, if there is
 * one near the end, else a few lines; and whether the worker complained that an
 * address is in use, near the beginning or the end of its output.
 *
 * A line explains that is not indented and says error, exception, panic, fatal,
 * refused, denied, cannot, failed or in use.  The latest counts, but for a line
 * that says "error:" or the like ("OSError:", "panic:"), which only another such
 * line replaces: below a stack trace there are lines that explain less.  Of
 * several such lines among the last ones, not parted by a stack trace, the first
 * explains why a program cannot start, and those below say that it cannot.
 */
#define TAIL_TEXT 512 /* with the NUL; the oldest lines leave first */
#define TAIL_LINES 5
#define TAIL_NEAR 8192

struct tail {
	uint64_t seen;      /* bytes of output so far */
	uint64_t in_use_at; /* `seen` at the last such complaint; 0: none */
	bool in_use_early;
	struct buffer lines; /* joined by newlines; has memory once there is one */
	struct buffer why;   /* the line that explains; has memory once there is one */
	uint64_t why_at;     /* `seen` after that line */
	bool why_strong;
	bool why_open;   /* it ends with a colon: the next line belongs to it */
	unsigned errors; /* bit n: the n-th line from the end explains */
	bool started;    /* the worker had started: the last such line explains */
};

void tail_init(struct tail *tail);
void tail_fini(struct tail *tail);
/* A line, behind which `behind` bytes were read already: a line that is certainly
 * too far from the end is only counted.  `goes_on`: it continues the line before. */
void tail_note(struct tail *tail, const char *line, size_t len, bool goes_on, size_t behind);
/* The line that explains, or the last lines joined by " / "; "" if there were none. */
void tail_text(const struct tail *tail, char to[TAIL_TEXT]);
bool tail_says_in_use(const struct tail *tail);

#endif
