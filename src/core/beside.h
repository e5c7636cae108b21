/* SPDX-License-Identifier: MIT */
#ifndef CORE_BESIDE_H
#define CORE_BESIDE_H

#include "core/slot.h"

/*
 * The workers beside another one in their slot.  Few slots have one at a time, so
 * the others share one that is always in state NONE, and nothing is written to.
 * There is room for one in each slot, so that none is ever missing; what was never
 * in use takes no memory.
 */
struct beside {
	struct worker *list; /* heap; the first is nobody */
	uint32_t used;       /* so many of them ever were */
	uint32_t free;       /* one that is not now, or 0; its id is the next */
};

struct cluster;

/* Room for as many slots, before there are these.  0 or -1. */
int beside_reserve(struct cluster *c, uint32_t slots);

/* The slot is to have one: in state NONE, until that is changed. */
struct worker *beside_take(struct cluster *c, struct slot *s);

/* The slot needs none any more, unless that one is in another state. */
void beside_drop(struct cluster *c, struct slot *s);

#endif
