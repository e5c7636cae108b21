/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_TAIL_H
#define LOGGER_TAIL_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The last words of a worker, cleaned (no escape sequences, no control bytes),
 * for the sentence about its death: the line that explains it, where there is one
 * near the end, else a few lines; and whether it complained that an address is in
 * use, near the beginning or the end of what it said.
 *
 * A line explains that is not indented and says error, exception, panic, fatal,
 * refused, denied, cannot, failed or in use.  The latest counts, but for one that
 * says "error:" or the like ("OSError: …", "panic: …"), which only another such
 * one replaces: below a stack trace stands what explains less.  Of several such
 * lines among the last ones, not parted by a stack trace, the first explains why a
 * program cannot start, and those below say that it cannot.
 */
#define TAIL_TEXT 512 /* with the NUL; the oldest lines leave first */
#define TAIL_LINES 5
#define TAIL_NEAR 8192

struct tail {
	uint64_t seen;      /* bytes of output so far */
	uint64_t in_use_at; /* how many when it last complained; 0: never */
	bool in_use_early;
	struct buffer lines; /* joined by newlines; memory once it spoke */
	struct buffer why;   /* the line that explains; memory once it did */
	uint64_t why_at;     /* bytes of output up to it */
	bool why_strong;
	bool why_open;   /* it ends with a colon: the next line belongs to it */
	unsigned errors; /* bit n: the n-th line from the end explained it */
	bool started;    /* it has died later: the last one explains it */
};

void tail_init(struct tail *tail);
void tail_fini(struct tail *tail);
/* A line, of which `behind` bytes follow that were read already: one that is
 * certainly too far from the end is only counted.  `goes_on`: it is a piece
 * of the line before. */
void tail_note(struct tail *tail, const char *line, size_t len, bool goes_on, size_t behind);
/* The line that explains, or the last ones joined by " / "; "" when there were
 * none. */
void tail_text(const struct tail *tail, char to[TAIL_TEXT]);
bool tail_says_in_use(const struct tail *tail);

#endif
