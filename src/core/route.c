/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

/* The worker that has the slot's place; without one, the worker beside it. */
static const struct worker *has_place(const struct slot *s)
{
	return s->main.state != WORKER_NONE ? &s->main : &s->other;
}

uint32_t cluster_next_in_turn(struct cluster *c, bool first)
{
	uint32_t from = first || c->in_turn >= c->count ? 0 : c->in_turn;

	if (c->ready == 0)
		return SLOT_ALL;
	for (uint32_t looked = 0; looked < c->count; looked++) {
		uint32_t i = (from + looked) % c->count;

		if (has_place(&c->slots[i])->state != WORKER_READY)
			continue;
		if (!first)
			c->in_turn = i + 1;
		return i;
	}
	return SLOT_ALL;
}
