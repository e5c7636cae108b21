/* SPDX-License-Identifier: MIT */
#ifndef CORE_LINE_H
#define CORE_LINE_H

#include "base/nsec.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * `start-at-once`: while so many workers of a generation are starting, a slot
 * that needs one stands in line, and is served when one of them is ready or has
 * failed: first come, first served.  A worker that takes long is not waited for,
 * because it may hang, and other slots are to be filled meanwhile.
 */
struct cluster;

#define LINE_PATIENCE (10 * SECOND)

/* Do others wait for this worker, and until when will they? */
bool line_waits_for(const struct worker *w);
nsec_t line_waits_until(const struct worker *w);

/* Would a worker of the slot have to wait, if it is of that generation? */
bool line_holds(const struct cluster *c, uint32_t i, unsigned generation);

void line_join(struct cluster *c, uint32_t i); /* at the end, unless it is in the line */
void line_leave(struct cluster *c, uint32_t i);

/* Have the first slot settled if it need not wait any more; true if it was. */
bool line_call(struct cluster *c);

/* Restore the line of a carried cluster (image.h), and count its starting workers and spares. */
void line_restore(struct cluster *c);

#endif
