/* SPDX-License-Identifier: MIT */
#ifndef CORE_HEALTH_H
#define CORE_HEALTH_H

#include "core/slot.h"

#include <stdint.h>

/*
 * Workers that live, and are not well.  A worker that hangs (watchdog, stall) is
 * aborted, and that counts as a death.  A worker that fails its checks, owes an
 * answer, or has grown too large or too old, still serves: it is marked unfit,
 * and replaced through its slot's gate (gate.h).
 */
struct cluster;

/* EVENT_UNWELL. */
void health_unwell(struct cluster *c, uint32_t i, struct worker *w, enum why why);

/* EVENT_OUTGROWN, or the worker is too old (WHY_AGE). */
void health_outgrown(struct cluster *c, uint32_t i, struct worker *w, enum why why);

/* No WATCHDOG=1 came in time. */
void health_missed(struct cluster *c, uint32_t i, struct worker *w);

/* Has the worker become too old? */
void health_look(struct cluster *c, uint32_t i, struct worker *w);

/* When the worker will be too old. */
nsec_t health_due(const struct worker *w, nsec_t lost);

#endif
