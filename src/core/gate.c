/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

static enum gate gate_for(enum why why)
{
	return why == WHY_CHECK || why == WHY_REQUEST || why == WHY_SOCKET ? GATE_UNWELL
									   : GATE_OUTGROWN;
}

void gate_wake(struct cluster *c)
{
	c->gates_to_look = c->unfit > 0 ? c->count : 0;
	c->gate_looked = 0;
}

static void shut_gate(struct cluster *c, struct slot *s)
{
	c->gates[s->gate]--;
	s->gate = GATE_SHUT;
	gate_wake(c);
}

void gate_drop_slot(struct cluster *c, struct slot *s)
{
	if (s->gate != GATE_SHUT)
		shut_gate(c, s);
}

/* Does the slot's unfit worker serve, without a successor? */
static bool is_wanted(const struct slot *s)
{
	return s->main.state == WORKER_READY && s->main.unfit != WHY_ITSELF &&
		s->other.state == WORKER_NONE;
}

/* May a gate of this kind be opened?  Unwell workers cost requests, outgrown ones
 * can wait: these go one by one, and not while all are replaced anyway. */
static bool is_free(const struct cluster *c, enum gate gate)
{
	unsigned most = cluster_settings(c)->surge;

	if (gate == GATE_OUTGROWN)
		return c->gates[gate] == 0 && !c->rollout.under_way;
	return c->gates[gate] < (most > 0 ? most : 1);
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

/* May the slot's gate be opened now? */
static bool is_due(const struct cluster *c, const struct slot *s)
{
	return is_wanted(s) && s->mend_at <= c->now && is_free(c, gate_for(s->main.unfit));
}

void gate_settle(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->gate != GATE_SHUT && s->other.state == WORKER_NONE) {
		if (s->main.state == WORKER_READY && s->main.unfit == WHY_ITSELF)
			backoff_reset(&s->backoff);
		shut_gate(c, s);
	}
	if (is_due(c, s) && c->gates_to_look == 0)
		gate_wake(c);
}

/* Look at one slot of the search: the slots from the turn on, each once.  The next search
 * begins after the slot whose gate was opened last. */
bool gate_advance(struct cluster *c)
{
	enum gate gate;
	struct slot *s;
	uint32_t i;

	if (c->gates_to_look == 0 || c->count == 0)
		return false;
	i = (c->gate_turn + c->gate_looked) % c->count;
	s = &c->slots[i];
	if (!cluster_wants(c, i) || !is_due(c, s)) {
		c->gate_looked++;
		c->gates_to_look--;
		return true;
	}
	if (line_holds(c, i, slot_generation(c, s))) /* slots without a worker come first */
		return false;
	gate = gate_for(s->main.unfit);
	if (!slot_spawn(c, i, &s->other, slot_generation(c, s))) {
		heap_set(&c->due, i, c->now);
		return false;
	}
	s->gate = gate;
	c->gates[gate]++;
	c->gate_turn = i + 1;
	gate_wake(c);
	return true;
}
