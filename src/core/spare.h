/* SPDX-License-Identifier: MIT */
#ifndef CORE_SPARE_H
#define CORE_SPARE_H

#include "core/slot.h"

/*
 * `spare = N`: so many slots more than wanted.  A worker that comes to the gate
 * (EVENT_GATE: it is about to listen) waits there, as a spare, until one that
 * serves is missing; then it is released, and takes a moment to serve.  Which slots
 * serve, and which have a spare, changes with each death: the successor of one that
 * has died in its slot becomes the next spare.  Where a worker never comes to
 * the gate, as it waits for no listen(2), there are no spares.
 */
struct cluster;

/* How many spares are wanted. */
unsigned spare_wanted(const struct cluster *c);

/* Have as many slots as wanted workers and spares need; more of them are settled,
 * and of fewer the highest leave. */
void spare_set_places(struct cluster *c);

/* The successor of a worker that serves is to serve, too, before that worker goes. */
void spare_settle(struct cluster *c, uint32_t i);

/* The worker has come to the gate: is it to serve? */
bool spare_is_needed(const struct cluster *c, uint32_t i, const struct worker *w);

/* Release a spare if one is needed; false if there is nothing to do. */
bool spare_fill(struct cluster *c);

/* Stop a surplus worker, so that its successor becomes a spare; false if there is none. */
bool spare_advance(struct cluster *c);

/* Has the successor in this slot, a spare, the right to the place of a worker that
 * does not serve? */
bool spare_replaces(const struct slot *s);

/* Is the worker to be a spare, and has not come to the gate yet?  With `intercept =
 * off` none ever does. */
bool spare_awaits_gate(const struct cluster *c, uint32_t i, const struct worker *w);

/* That worker is ready without the gate: so no worker of its command can be held back. */
void spare_is_none(struct cluster *c, uint32_t i, const struct worker *w);

/* Release a spare of that generation; false: none. */
bool spare_release(struct cluster *c, unsigned generation);

#endif
