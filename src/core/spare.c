/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

static const struct generation *newest_generation(const struct cluster *c)
{
	return cluster_find_generation(c, c->rollout.under_way ? c->rollout.to : c->generation);
}

unsigned spare_wanted(const struct cluster *c)
{
	const struct generation *g = newest_generation(c);
	unsigned most = c->cap - c->wanted; /* further slots come with more memory */

	if (c->wanted == 0 || g->ungated || g->settings->intercept == INTERCEPT_OFF)
		return 0;
	return g->settings->spare < most ? g->settings->spare : most;
}

void spare_set_places(struct cluster *c)
{
	uint32_t places = c->wanted + spare_wanted(c);

	if (places == c->places)
		return;
	if (places > c->places && c->sweep > c->places)
		c->sweep = c->places;
	c->places = places;
	if (c->count < places)
		c->count = places;
	c->shrink = c->count;
	rollout_wake(c);
}

bool spare_awaits_gate(const struct cluster *c, uint32_t i, const struct worker *w)
{
	const struct generation *g = cluster_find_generation(c, w->generation);

	return w->state == WORKER_STARTING && w->gate_at == 0 && g->settings->spare > 0 &&
		!g->ungated &&
		(g->settings->intercept == INTERCEPT_OFF ||
			(c->places > c->wanted && !spare_is_needed(c, i, w)));
}

void spare_is_none(struct cluster *c, uint32_t i, const struct worker *w)
{
	(void)worker_report(c->out, REPORT_NO_SPARE, i, w, c->now);
	generations_learn(&c->generations, w->generation, LESSON_UNGATED);
}

bool spare_replaces(const struct slot *s)
{
	return s->other.state == WORKER_SPARE && !worker_is_serving(&s->main);
}

/* A spare in this slot that may serve, of that generation (0: of any). */
static struct worker *spare_of(struct cluster *c, uint32_t i, unsigned of)
{
	struct slot *s = &c->slots[i];
	struct worker *both[] = {&s->main, &s->other};

	for (int k = 0; k < 2; k++)
		if (both[k]->state == WORKER_SPARE && !slot_is_rejected(c, both[k]) &&
			cluster_wants(c, i) && (of == 0 || both[k]->generation == of))
			return both[k];
	return NULL;
}

bool spare_release(struct cluster *c, unsigned generation)
{
	for (uint32_t i = 0; i < c->count && c->spares > 0; i++) {
		struct worker *w = spare_of(c, i, generation);

		if (w == NULL)
			continue;
		(void)slot_tell(c, i, w, ON_RELEASE, NULL);
		heap_set(&c->due, i, c->now);
		return true;
	}
	return false;
}

/* Is the spare the successor of a worker that serves?  It is to serve before that worker goes. */
static bool is_successor(const struct slot *s, const struct worker *w)
{
	return w == &s->other && worker_is_serving(&s->main);
}

static bool is_missing(const struct cluster *c)
{
	return c->ready + c->released < c->wanted;
}

bool spare_is_needed(const struct cluster *c, uint32_t i, const struct worker *w)
{
	return !slot_is_rejected(c, w) && cluster_wants(c, i) &&
		(is_missing(c) || is_successor(&c->slots[i], w));
}

void spare_settle(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->other.state == WORKER_SPARE && is_successor(s, &s->other) &&
		!slot_is_rejected(c, &s->other))
		(void)slot_tell(c, i, &s->other, ON_RELEASE, NULL);
}

/* More workers serve than are wanted, as when spares have left at a scale: stop one. */
static bool stop_surplus(struct cluster *c)
{
	if (c->places == c->wanted || c->ready <= c->wanted || c->rollout.under_way ||
		c->gates[GATE_UNWELL] > 0 || c->gates[GATE_OUTGROWN] > 0)
		return false;
	for (uint32_t i = c->places; i-- > 0;) {
		struct slot *s = &c->slots[i];

		if (s->main.state != WORKER_READY || s->other.state != WORKER_NONE)
			continue;
		slot_stop(c, i, &s->main, WHY_STOP);
		heap_set(&c->due, i, c->now);
		return true;
	}
	return false;
}

bool spare_fill(struct cluster *c)
{
	return !c->stopping && c->spares > 0 && is_missing(c) &&
		(spare_release(c, c->generation) || spare_release(c, 0));
}

bool spare_advance(struct cluster *c)
{
	return !c->stopping && stop_surplus(c);
}
