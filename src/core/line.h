/* SPDX-License-Identifier: MIT */
#ifndef CORE_LINE_H
#define CORE_LINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * `start-at-once`: while so many workers are starting, a slot that needs one
 * stands in line, and is served when one of them is ready or has failed: who came
 * first comes first.
 */
struct cluster;

/* Would a worker of the slot have to wait? */
bool line_holds(const struct cluster *c, uint32_t i);

void line_join(
	struct cluster *c, uint32_t i); /* at its end, if it is not in it */
void line_leave(struct cluster *c, uint32_t i);

/* Have the first one settled if it need not wait any more; true if it was. */
bool line_call(struct cluster *c);

/* Make the line of a cluster that was carried (image.h), and count the starting. */
void line_restore(struct cluster *c);

#endif
