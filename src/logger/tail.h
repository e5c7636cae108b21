/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_TAIL_H
#define LOGGER_TAIL_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The last words of a worker: a few lines, cleaned (no escape sequences, no
 * control bytes), for the sentence about its death; and whether it complained
 * that an address is in use, near the beginning or the end of what it said.
 */
#define TAIL_TEXT 512 /* with the NUL; the oldest lines leave first */
#define TAIL_LINES 5
#define TAIL_NEAR 8192

struct tail {
	uint64_t seen;      /* bytes of output so far */
	uint64_t in_use_at; /* how many when it last complained; 0: never */
	bool in_use_early;
	struct buffer lines; /* joined by newlines; memory once it spoke */
};

void tail_init(struct tail *tail);
void tail_fini(struct tail *tail);
/* A line, of which `behind` bytes follow that were read already: one that is
 * certainly too far from the end is only counted.  `goes_on`: it is a piece
 * of the line before. */
void tail_note(struct tail *tail, const char *line, size_t len, bool goes_on,
	size_t behind);
/* The lines joined by " / "; "" when there were none. */
void tail_text(const struct tail *tail, char to[TAIL_TEXT]);
bool tail_says_in_use(const struct tail *tail);

#endif
