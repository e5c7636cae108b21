/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

static enum gate_kind gate_for(enum why why)
{
	return why == WHY_CHECK || why == WHY_REQUEST || why == WHY_SOCKET ? GATE_UNWELL
									   : GATE_OUTGROWN;
}

void gate_shut(struct cluster *c, struct slot *s)
{
	if (s->gate == GATE_SHUT)
		return;
	c->gates[s->gate]--;
	s->gate = GATE_SHUT;
}

/* Does the slot's unfit worker serve, without a successor? */
static bool is_wanted(const struct slot *s)
{
	return s->main.state == WORKER_READY && s->main.unfit != WHY_ITSELF &&
		s->other.state == WORKER_NONE;
}

/* May a gate of this kind be opened?  Unwell workers cost requests, outgrown ones
 * can wait: these go one by one, and not while all are replaced anyway. */
static bool is_free(const struct cluster *c, enum gate_kind gate)
{
	unsigned most = rollout_pace(c, c->generation).extra;

	if (gate == GATE_OUTGROWN)
		return c->gates[gate] == 0 && !c->rollout.under_way;
	return c->gates[gate] < (most > 0 ? most : 1);
}

/* None may be started beside it: the unfit worker goes first, and its slot is filled as any. */
static bool let_go(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (!rollout_may_miss(c, s, rollout_pace(c, c->generation)))
		return false;
	slot_stop(c, i, &s->main, s->main.unfit);
	slot_set_due(c, i, c->now);
	return true;
}

nsec_t gate_note_failure(struct cluster *c, struct slot *s, const struct worker *dead)
{
	nsec_t wait = 0;

	if (!why_is_no_failure(dead->why))
		wait = backoff_next(&s->backoff,
			cluster_find_generation(c, dead->generation)->settings,
			worker_was_ready(dead), 0, &c->random);
	s->mend_at = nsec_add(c->now, wait);
	return wait;
}

nsec_t gate_due(const struct cluster *c, const struct slot *s)
{
	if (!is_wanted(s) || s->mend_at <= c->now)
		return NSEC_NEVER;
	return s->mend_at;
}

void gate_settle(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->gate != GATE_SHUT && s->other.state == WORKER_NONE) {
		if (s->main.state == WORKER_READY && s->main.unfit == WHY_ITSELF)
			backoff_reset(&s->backoff);
		gate_shut(c, s);
	}
}

/* The next slot in turn whose gate may be opened; SLOT_ALL: none. */
static uint32_t next_gate(const struct cluster *c)
{
	for (uint32_t n = 0; n < c->count && c->unfit > 0; n++) {
		uint32_t i = (c->gate_turn + n) % c->count;

		const struct slot *s = &c->slots[i];

		if (cluster_wants(c, i) && is_wanted(s) && s->mend_at <= c->now &&
			is_free(c, gate_for(s->main.unfit)))
			return i;
	}
	return SLOT_ALL;
}

bool gate_advance(struct cluster *c)
{
	uint32_t i = next_gate(c);
	struct slot *s;

	if (i == SLOT_ALL)
		return false;
	s = &c->slots[i];
	if (rollout_pace(c, c->generation).extra == 0)
		return let_go(c, i);
	if (line_holds(c, i, slot_generation(c, s))) /* slots without a worker come first */
		return false;
	if (!slot_spawn(c, i, &s->other, slot_generation(c, s))) {
		slot_set_due(c, i, c->now);
		return false;
	}
	s->gate = gate_for(s->main.unfit);
	c->gates[s->gate]++;
	c->gate_turn = i + 1;
	return true;
}

/* ---- line ---- */

static bool is_full(const struct cluster *c, unsigned generation)
{
	const struct generation *g = cluster_find_generation(c, generation);
	unsigned most = g->settings->start_at_once;

	if (most == 0 || most >= WORKERS_MAX)
		return false;
	/* nothing shows when these workers have started */
	if (g->settings->ready == READY_ALIVE ||
		(g->settings->ready == READY_AUTO && g->knows[LESSON_SILENT] &&
			!g->knows[LESSON_SAYS_READY] && !g->knows[LESSON_LISTENS]))
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

/* The slot that has waited for longest, of equals the lowest; SLOT_ALL: none waits. */
static uint32_t first_in_line(const struct cluster *c)
{
	uint32_t first = SLOT_ALL;

	for (uint32_t i = 0; c->in_line > 0 && i < c->count; i++)
		if (c->slots[i].waits != 0 &&
			(first == SLOT_ALL || c->slots[i].waits < c->slots[first].waits))
			first = i;
	return first;
}

bool line_holds(const struct cluster *c, uint32_t i, unsigned generation)
{
	uint32_t first = first_in_line(c);

	return is_full(c, generation) || (first != SLOT_ALL && first != i);
}

void line_join(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	c->slot_waits = true;
	if (s->waits != 0)
		return;
	c->in_line++;
	s->waits = c->now > 0 ? c->now : 1; /* 0: the slot does not wait */
}

bool line_call(struct cluster *c)
{
	uint32_t i = first_in_line(c);

	if (i == SLOT_ALL || is_full(c, slot_generation(c, &c->slots[i])))
		return false;
	slot_set_due(c, i, c->now);
	return true;
}

void line_restore(struct cluster *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct slot *s = &c->slots[i];

		c->in_line += s->waits != 0;
		for (int k = 0; k < 2; k++) {
			const struct worker *w = k == 0 ? &s->main : &s->other;

			if (line_waits_for(w))
				cluster_find_generation(c, w->generation)->starting++;
			c->spares += w->state == WORKER_SPARE;
			c->released += w->state == WORKER_STARTING && w->released;
		}
	}
}

/* ---- spare ---- */

unsigned spare_wanted(const struct cluster *c)
{
	const struct generation *g = cluster_find_generation(c, cluster_latest_generation(c));
	unsigned most = c->cap - c->wanted; /* further slots come with more memory */

	if (c->wanted == 0 || g->knows[LESSON_UNGATED] || g->settings->intercept == INTERCEPT_OFF)
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
		!g->knows[LESSON_UNGATED] &&
		(g->settings->intercept == INTERCEPT_OFF ||
			(c->places > c->wanted && !spare_is_needed(c, i, w)));
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
		slot_set_due(c, i, c->now);
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
bool spare_advance(struct cluster *c)
{
	if (c->stopping || c->places == c->wanted || c->ready <= c->wanted ||
		c->rollout.under_way || c->gates[GATE_UNWELL] > 0 || c->gates[GATE_OUTGROWN] > 0)
		return false;
	for (uint32_t i = c->places; i-- > 0;) {
		struct slot *s = &c->slots[i];

		if (s->main.state != WORKER_READY || s->other.state != WORKER_NONE)
			continue;
		slot_stop(c, i, &s->main, WHY_STOP);
		slot_set_due(c, i, c->now);
		return true;
	}
	return false;
}

bool spare_fill(struct cluster *c)
{
	return !c->stopping && c->spares > 0 && is_missing(c) &&
		(spare_release(c, c->generation) || spare_release(c, 0));
}
