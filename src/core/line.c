/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

static bool is_full(const struct cluster *c, unsigned generation)
{
	const struct generation *g = cluster_find_generation(c, generation);
	unsigned most = g->settings->start_at_once;

	if (most == 0 || most >= WORKERS_MAX)
		return false;
	/* nothing shows when these workers have started */
	if (g->settings->ready == READY_ALIVE ||
		(g->settings->ready == READY_AUTO && g->silent && !g->says_ready && !g->listens))
		return false;
	return g->starting >= most;
}

bool line_waits_for(const struct worker *w)
{
	return worker_is_coming(w) && !w->slow;
}

nsec_t line_waits_until(const struct worker *w)
{
	return w->state == WORKER_STARTING && !w->slow ? w->born + LINE_PATIENCE : NSEC_NEVER;
}

bool line_holds(const struct cluster *c, uint32_t i, unsigned generation)
{
	return is_full(c, generation) ||
		(heap_first_due(&c->line) != NSEC_NEVER && heap_first(&c->line) != i);
}

void line_join(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	c->slot_waits = true;
	if (s->waits != 0)
		return;
	s->waits = c->now > 0 ? c->now : 1; /* 0: the slot does not wait */
	heap_set(&c->line, i, s->waits);
}

void line_leave(struct cluster *c, uint32_t i)
{
	c->slots[i].waits = 0;
	heap_set(&c->line, i, NSEC_NEVER);
}

bool line_call(struct cluster *c)
{
	uint32_t i;

	if (heap_first_due(&c->line) == NSEC_NEVER)
		return false;
	i = heap_first(&c->line);
	if (is_full(c, slot_generation(c, &c->slots[i])))
		return false;
	heap_set(&c->due, i, c->now);
	return true;
}

static void count_starting(struct cluster *c, const struct worker *w)
{
	if (line_waits_for(w))
		cluster_find_generation(c, w->generation)->starting++;
}

void line_restore(struct cluster *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct slot *s = &c->slots[i];

		for (int k = 0; k < 2; k++) {
			const struct worker *w = k == 0 ? &s->main : &s->other;

			count_starting(c, w);
			c->spares += w->state == WORKER_SPARE;
			c->released += w->state == WORKER_STARTING && w->released;
		}
		if (s->waits != 0)
			heap_set(&c->line, i, s->waits);
	}
}
