/* SPDX-License-Identifier: MIT */
#ifndef CORE_SPARE_H
#define CORE_SPARE_H

#include "core/slot.h"

/*
 * `spare = N`: so many slots more than wanted.  A worker that comes to the gate
 * (EVENT_GATE: it is about to listen) waits there, as a spare, until one that
 * serves is missing; then it is released, and takes a moment to serve.  Which slots
 * serve, and which have a spare, changes with each death: the successor of one that
 * has died in its slot becomes the next spare.  A worker that never comes to the
gate, as it takes a socket that listens already, is stopped once it is ready
(ACTION_HOLD).
 */
struct cluster;

/* Spares that there are to be. */
unsigned spare_wanted(const struct cluster *c);

/* Have as many slots as wanted workers and spares need; more of them are settled,
 * and of fewer the highest leave. */
void spare_set_places(struct cluster *c);

/* The successor of one that serves is to serve, too, before that one goes. */
void spare_settle(struct cluster *c, uint32_t i);

/* The worker has come to the gate: is it to serve? */
bool spare_is_needed(
	const struct cluster *c, uint32_t i, const struct worker *w);

/* Release a spare if one is needed; false if there is nothing to do. */
bool spare_fill(struct cluster *c);

/* Stop a worker that is one too many since its spare serves; false if there is
 * none. */
bool spare_advance(struct cluster *c);

/* Has the successor in this slot, a spare, the right to the place of a worker that
 * does not serve? */
bool spare_replaces(const struct slot *s);

/* The worker is ready and never came to the gate: is it to be held all the same? */
bool spare_holds(const struct cluster *c, uint32_t i, const struct worker *w);

/* It cannot be: so none of its command can. */
void spare_unheld(struct cluster *c, uint32_t i, struct worker *w);

/* Release a spare of that generation; false: there is none. */
bool spare_release(struct cluster *c, unsigned generation);

#endif
