/* SPDX-License-Identifier: MIT */
#ifndef CORE_HEAP_H
#define CORE_HEAP_H

#include "base/nsec.h"

#include <stdint.h>

/*
 * The earliest of many deadlines, one for each slot: a binary heap of slot
 * numbers.  Of equal deadlines the lowest slot comes first.  All calls but
 * heap_reserve() are O(log n) and need no memory.
 */
struct heap {
	uint32_t *order; /* slots, as a heap */
	uint32_t *where; /* slot -> its place in `order` + 1; 0: none */
	nsec_t *due;     /* slot -> its deadline */
	uint32_t count;
	uint32_t cap;
};

int heap_reserve(struct heap *h, uint32_t slots); /* 0 or -1 */
void heap_fini(struct heap *h);

void heap_set(struct heap *h, uint32_t slot, nsec_t due); /* NEVER: remove */
nsec_t heap_due(const struct heap *h, uint32_t slot);     /* NEVER: none */
nsec_t heap_first_due(const struct heap *h);              /* NEVER: empty */
uint32_t heap_first(const struct heap *h);                /* must not be empty */

#endif
