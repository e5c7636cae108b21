/* SPDX-License-Identifier: MIT */
#ifndef CORE_GATE_H
#define CORE_GATE_H

#include "core/slot.h"

#include <stdbool.h>

/*
 * Gated replacement: a worker that is not fit any more, but serves, stays
 * until its successor is ready beside it.  A slot's gate is open from the
 * successor's birth to the end of the unfit one, or of the successor, if that
 * fails; then it is tried again, later and later.
 */
struct cluster;

/* Shut the slot's gate if its replacement is over; if the slot needs a gate, have
 * the next search look at it. */
void gate_settle(struct cluster *c, uint32_t i);

/* Open the next gate, of all slots in turn, if one may be opened; false if there is
 * nothing to do for now. */
bool gate_advance(struct cluster *c);

/* One more gate may be open now. */
void gate_wake(struct cluster *c);

/* The slot is not part of the cluster any more. */
void gate_drop_slot(struct cluster *c, struct slot *s);

/* The successor has failed: return how long until the next is tried. */
nsec_t gate_note_failure(struct cluster *c, struct slot *s, const struct worker *dead);

/* When the slot's gate is to be looked at again. */
nsec_t gate_due(const struct cluster *c, const struct slot *s);

#endif
