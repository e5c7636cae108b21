/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_LANES_H
#define LOGGER_LANES_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines that wait for a slow reader, in one lane for each worker.  They leave
 * by turns of some bytes: a cluster after the other, and of each one worker
 * after the other.  When all room is taken, who has most of it gives some to
 * who has less: so one that floods costs its own lines, and not its
 * neighbours'.  A lane that has lost a line takes none until it has nearly run
 * empty, so that what is lost is lost in one place.
 */
struct drops;
struct lane;
struct lane_group;

struct lanes {
	struct lane_group *groups; /* the next whose turn it is comes first */
	struct lane *last;         /* that took something */
	struct lane_group *last_group;
	size_t waiting; /* bytes */
	size_t limit;
	struct drops *drops;   /* counts them, too; or NULL */
	unsigned long dropped; /* lines, since the owner took notice */
	bool over;             /* one that has dropped takes lines again: tell of it */
};

void lanes_init(struct lanes *lanes, size_t limit);
void lanes_fini(struct lanes *lanes);
bool lanes_are_empty(const struct lanes *lanes);
/* One whole line, with its newline: it waits, or is counted as dropped. */
void lanes_put(
	struct lanes *lanes, const char *cluster, uint64_t worker, const char *line, size_t len);
/* Move lines to `to`, about so many bytes, or all. */
void lanes_take(struct lanes *lanes, struct buffer *to, size_t len);

#endif
