/* SPDX-License-Identifier: MIT */
#ifndef CLI_RENDER_H
#define CLI_RENDER_H

#include "base/buffer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The result of `status` (INTERFACE.md section 6) as a table for people, and
 * as an exit status.  Pure; fields that are missing or null are shown as '-'.
 * All text in it came over the wire and is escaped.
 */
struct render {
	struct buffer *out;
	bool colour;
	size_t width; /* cut lines there, in columns; 0: never */
	size_t column;
	bool full; /* the rest of this line is cut */
};

/* Append one instance.  `target`: "" all, a cluster, or, with `slot`, a slot
 * in one.  Out of memory: out->failed. */
void render_status(
	struct render *r, const json_t *status, const char *target, bool slot);

/* How many workers are wanted and how many of them are ready. */
struct tally {
	unsigned long wanted;
	unsigned long ready;
	bool lacking; /* some cluster has fewer than it wants */
};
void tally_add(
	struct tally *t, const json_t *status, const char *target, bool slot);
int tally_exit_status(const struct tally *t); /* 0 all, 1 some, 2 none */

#endif
