/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "core/generation.h"
#include "core/slot.h"
#include "core/whole.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

static inline bool cluster_wants(const struct cluster *c, uint32_t i)
{
	return i < c->places && !c->stopping;
}

static inline struct generation *cluster_find_generation(const struct cluster *c, unsigned number)
{
	return generations_find(&c->generations, number);
}

/* The generation in force. */
static inline struct generation *cluster_in_force(const struct cluster *c)
{
	return cluster_find_generation(c, c->generation);
}

/* `accept = yes`: no slot is wanted, and one with a worker does not leave (cluster_adopt()). */
static inline bool cluster_is_on_demand(const struct cluster *c)
{
	return cluster_in_force(c)->settings->accept;
}

/* Have all slots settled. */
static inline void cluster_sweep(struct cluster *c)
{
	c->sweep = 0;
}

/* A worker of that generation has done its work in the slot, or (0) that does not count any more. */
static inline void slot_did(struct cluster *c, struct slot *s, unsigned generation)
{
	c->did += (unsigned)(generation != 0) - (unsigned)(s->did != 0);
	s->did = generation;
}

/* Stop all workers; `failed` with that status. */
void cluster_give_up(struct cluster *c, int status);

/* No worker runs any more: begin anew. */
void cluster_revive(struct cluster *c);

bool cluster_is_all_ready(const struct cluster *c);

/* ---- line ---- */

/*
 * `start-at-once`: while so many workers of a generation are starting, a slot
 * that needs one stands in line, and is served when one of them is ready or has
 * failed: first come, first served.  A worker that takes long is not waited for,
 * because it may hang, and other slots are to be filled meanwhile.
 */
#define LINE_PATIENCE (10 * SECOND)

/* Do others wait for this worker, and until when will they? */
bool line_waits_for(const struct worker *w);
nsec_t line_waits_until(const struct worker *w);

/* Would a worker of the slot have to wait, if it is of that generation? */
bool line_holds(const struct cluster *c, uint32_t i, unsigned generation);

void line_join(struct cluster *c, uint32_t i); /* at the end, unless it is in the line */

static inline void line_leave(struct cluster *c, struct slot *s)
{
	c->in_line -= s->waits != 0;
	s->waits = 0;
}

/* Have the first slot settled if it need not wait any more; true if it was. */
bool line_call(struct cluster *c);

/* Restore the line of a carried cluster (adopt.h), and count its starting workers and spares. */
void line_restore(struct cluster *c);

/* ---- gate ---- */

/*
 * Gated replacement: a worker that is not fit any more, but serves, stays
 * until its successor is ready beside it.  A slot's gate is open from the
 * successor's birth to the end of the unfit one, or of the successor, if that
 * fails; then it is tried again, later and later.
 */
/* Shut the slot's gate if its replacement is over. */
void gate_settle(struct cluster *c, uint32_t i);

/* Open the next gate, of all slots in turn, if one may be opened; false if there is
 * nothing to do for now. */
bool gate_advance(struct cluster *c);

/* Shut the slot's gate, if it is open. */
void gate_shut(struct cluster *c, struct slot *s);

/* The successor has failed: return how long until the next is tried. */
nsec_t gate_note_failure(struct cluster *c, struct slot *s, const struct worker *dead);

/* When the slot's gate is to be looked at again. */
nsec_t gate_due(const struct cluster *c, const struct slot *s);

/* ---- spare ---- */

/*
 * `spare = N`: so many slots more than wanted.  A worker that comes to the gate
 * (EVENT_GATE: it is about to listen) waits there, as a spare, until one that
 * serves is missing; then it is released, and takes a moment to serve.  Which slots
 * serve, and which have a spare, changes with each death: the successor of one that
 * has died in its slot becomes the next spare.  Where a worker never comes to
 * the gate, as it waits for no listen(2), there are no spares.
 */
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

/* Is the worker to be a spare, and has not come to the gate yet?  With `intercept =
 * off` none ever does. */
bool spare_awaits_gate(const struct cluster *c, uint32_t i, const struct worker *w);

/* Release a spare of that generation; false: none. */
bool spare_release(struct cluster *c, unsigned generation);

/* ---- health ---- */

/*
 * Workers that live, and are not well.  A worker that hangs (watchdog, stall) is
 * aborted, and that counts as a death.  A worker that fails its checks, owes an
 * answer, or has grown too large or too old, still serves: it is marked unfit,
 * and replaced through its slot's gate.
 */
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
