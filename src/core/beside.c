/* SPDX-License-Identifier: MIT */
#include "core/beside.h"

#include "core/inside.h"

#include <stdlib.h>
#include <string.h>

int beside_reserve(struct cluster *c, uint32_t slots)
{
	struct beside *b = &c->beside;
	struct worker *grown = malloc((slots + 1UL) * sizeof(*grown));

	if (grown == NULL)
		return -1;
	if (b->used == 0)
		grown[b->used++] = (struct worker){.state = WORKER_NONE};
	else
		(void)memcpy(grown, b->list, b->used * sizeof(*grown));
	for (uint32_t i = 0; i < c->cap; i++)
		c->slots[i].other = grown + (c->slots[i].other - b->list);
	free(b->list);
	b->list = grown;
	return 0;
}

struct worker *beside_take(struct cluster *c, struct slot *s)
{
	struct beside *b = &c->beside;

	if (s->other != b->list)
		return s->other;
	if (b->free != 0) {
		s->other = &b->list[b->free];
		b->free = (uint32_t)s->other->id;
	} else {
		s->other = &b->list[b->used++];
	}
	*s->other = (struct worker){.state = WORKER_NONE};
	return s->other;
}

void beside_drop(struct cluster *c, struct slot *s)
{
	struct beside *b = &c->beside;

	if (s->other == b->list || s->other->state != WORKER_NONE)
		return;
	s->other->id = b->free;
	b->free = (uint32_t)(s->other - b->list);
	s->other = b->list;
}
