/* SPDX-License-Identifier: MIT */
#include "recount.h"

#include "core/internal.h"

/* What the counters should be. */
struct counters {
	unsigned alive;
	unsigned released;
	unsigned spares;
	unsigned ready;
	unsigned ended;
	unsigned did;
	unsigned turned;
	unsigned done;
	unsigned extra;
	unsigned fewer;
	unsigned held;
	unsigned proven;
	unsigned unfit;
	unsigned gates[GATES];
};

static const char *check_worker(const struct worker *w)
{
	bool waits = w->deadline != NSEC_NEVER || w->proven_at != NSEC_NEVER;

	switch (w->state) {
	case WORKER_NONE:
	case WORKER_READY: /* its watchdog, perhaps */
		return NULL;
	case WORKER_STARTING:
	case WORKER_DRAINING:
	case WORKER_STOPPING:
	case WORKER_KILLED:
		return waits ? NULL : "a worker waits without a deadline";
	default:
		return waits ? "a deadline outlived its state" : NULL;
	}
}

static void tally_worker(struct counters *t, const struct worker *w)
{
	t->alive += w->state != WORKER_NONE;
	t->released += w->state == WORKER_STARTING && w->released;
	t->spares += w->state == WORKER_SPARE;
	t->ready += w->state == WORKER_READY;
	t->unfit += w->state == WORKER_READY && w->unfit != WHY_ITSELF;
}

static void tally_slot(struct counters *t, const struct cluster *c, const struct slot *s)
{
	tally_worker(t, &s->main);
	tally_worker(t, &s->other);
	t->gates[s->gate]++;
	if (s->life == c->life) {
		t->ended += s->ended != SLOT_GOES_ON;
		t->did += s->did != 0;
	}
	if (!rollout_has_turned(c, s))
		return;
	t->turned++;
	t->done += s->step == STEP_NONE;
	t->extra += s->step == STEP_EXTRA;
	t->fewer += s->step == STEP_FEWER;
	t->held += s->step == STEP_HELD;
	t->proven += s->proven;
}

/* Would it be looked at in time? */
static const char *check_due(const struct cluster *c, uint32_t i)
{
	const struct slot *s = &c->slots[i];
	nsec_t due = s->due;
	bool comes = i >= c->sweep || (i >= c->places && i < c->shrink);

	if (comes || due <= c->now)
		return NULL;
	if (due > worker_due(&s->main, c->lost) || due > worker_due(&s->other, c->lost) ||
		due > health_due(&s->main, c->lost) || due > health_due(&s->other, c->lost))
		return "a worker's deadline is forgotten";
	if (cluster_wants(c, i) && due > gate_due(c, s))
		return "a gate is forgotten";
	if (cluster_wants(c, i) && s->main.state == WORKER_NONE && s->ended == SLOT_GOES_ON &&
		s->waits == 0 && due > s->retry)
		return "an empty slot is forgotten";
	return NULL;
}

static const char *check_slot(const struct cluster *c, uint32_t i)
{
	const struct slot *s = &c->slots[i];
	const char *wrong = check_worker(&s->main);

	if (wrong == NULL)
		wrong = check_worker(&s->other);
	if (wrong == NULL)
		wrong = check_due(c, i);
	if (wrong == NULL && s->main.state != WORKER_NONE && s->main.id == s->other.id)
		wrong = "one worker is there twice";
	return wrong;
}

static const char *check_generation(const struct cluster *c, const struct generation *g)
{
	unsigned workers = 0;
	unsigned starting = 0;
	unsigned serving = 0;
	unsigned beside = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		const struct worker *both[] = {&c->slots[i].main, &c->slots[i].other};

		for (int k = 0; k < 2; k++) {
			if (both[k]->state == WORKER_NONE || both[k]->generation != g->number)
				continue;
			workers++;
			starting += line_waits_for(both[k]);
			serving += worker_is_serving(both[k]);
			beside += k == 1 && worker_is_serving(both[k]);
		}
	}
	if (beside != g->beside)
		return "a generation miscounts who is beside another";
	if (workers != g->workers)
		return "a generation miscounts its workers";
	if (starting != g->starting)
		return "a generation miscounts those that start";
	return serving == g->serving ? NULL : "a generation miscounts who serves";
}

static const char *check_tally(const struct cluster *c, const struct counters *t)
{
	const struct rollout *r = &c->rollout;

	if (t->alive != c->alive)
		return "the alive are miscounted";
	if (t->released != c->released || t->spares != c->spares)
		return "the spares are miscounted";
	if (t->ready != c->ready)
		return "the ready are miscounted";
	if (t->did != c->did)
		return "the slots whose work is done are miscounted";
	if (t->ended != c->ended)
		return "the ended slots are miscounted";
	if (t->unfit != c->unfit)
		return "the unfit are miscounted";
	if (t->gates[GATE_UNWELL] != c->gates[GATE_UNWELL] ||
		t->gates[GATE_OUTGROWN] != c->gates[GATE_OUTGROWN])
		return "the gates are miscounted";
	if (!r->under_way || r->fresh)
		return NULL;
	if (t->turned != r->turned || t->done != r->done)
		return "the rollout miscounts its slots";
	if (t->held != r->held || t->proven != r->proven)
		return "the rollout miscounts whom it holds";
	if (t->extra != r->extra || t->fewer != r->fewer)
		return "the rollout miscounts its steps";
	return NULL;
}

const char *cluster_check(const struct cluster *c)
{
	struct counters t = {0};
	const char *wrong = NULL;

	for (uint32_t i = 0; i < c->count && wrong == NULL; i++) {
		wrong = check_slot(c, i);
		tally_slot(&t, c, &c->slots[i]);
	}
	for (unsigned i = 0; i < c->generations.count && wrong == NULL; i++)
		wrong = check_generation(c, &c->generations.list[i]);
	return wrong != NULL ? wrong : check_tally(c, &t);
}
