/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <inttypes.h>

/* ---- canaries ---- */

bool trials_is_guessed(const struct world *w, const struct cluster_settings *settings)
{
	const struct plan *plan = world_plan_of(w, settings);

	if (settings->ready == READY_AUTO)
		return !w->known[plan->command].says_ready;
	if (settings->ready == READY_PROBE)
		return settings->ready_probe.kind == PROBE_TCP;
	return settings->ready != READY_NOTIFY;
}

static nsec_t bake_of(const struct world *w, const struct rollout_view *view)
{
	nsec_t bake = w->asked_canary[view->id % 64].span;

	if (bake == -1)
		bake = view->settings->bake;
	if (bake != BAKE_AUTO)
		return bake;
	return trials_is_guessed(w, view->settings) ? view->settings->stable_after : 0;
}

unsigned trials_canaries(const struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);
	unsigned count;

	if (!view.under_way || cluster_state(w->cluster) != CLUSTER_ROLLING)
		return 0;
	/* it goes back, or is of one slot's request and another one's, or
	 * has got other settings since */
	if (w->shuffled || !w->asked_canary[view.id % 64].there)
		return view.canary;
	count = w->asked_canary[view.id % 64].count;
	if (count == UINT32_MAX)
		count = view.settings->canary;
	if (count == 0 && bake_of(w, &view) > 0)
		count = 1;
	return count < w->wanted ? count : w->wanted;
}

/* ---- how many more, and how many fewer ---- */

unsigned trials_surge(const struct world *w, const struct cluster_settings *s)
{
	bool may_miss = s->max_unavailable != 0;

	if (s->surge == 0 && may_miss)
		return 0;
	if (s->surge != COUNT_AUTO)
		return s->surge > 0 ? s->surge : 1;
	return w->alone && w->wanted <= 1 && may_miss ? 0 : 1;
}

unsigned trials_unavailable(const struct world *w, const struct cluster_settings *s)
{
	if (s->max_unavailable != COUNT_AUTO)
		return s->max_unavailable;
	return trials_surge(w, s) == 0;
}

/* The first one takes the place of an old one, as nobody may be beside it. */
static bool is_alone(const struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);
	unsigned asked;

	asked = w->asked_canary[view.id % 64].count;
	if (asked == UINT32_MAX)
		asked = view.settings->canary;
	return (asked == 0 || w->alone) && trials_surge(w, view.settings) == 0;
}

bool trials_go_on(const struct world *w)
{
	return w->rollout != 0 && !w->shuffled && w->baked != w->rollout && trials_canaries(w) > 0;
}

/* Ready, or ended as it should. */
static unsigned ready_of(const struct world *w, unsigned generation)
{
	unsigned count = 0;

	for (uint64_t id = 1; id <= w->last_worker; id++) {
		const struct process *p = &w->processes[id];

		count += p->life == LIFE_ALIVE && p->ready && !p->leaving && !p->going &&
			p->generation == generation;
	}
	for (uint32_t i = 0; i < w->wanted; i++)
		count += w->places[i].ended;
	return count;
}

/* Slots whose old worker ended for good do not wait for the others. */
static unsigned let_go(const struct world *w)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < w->wanted; i++)
		count += w->places[i].stepped == w->rollout || w->places[i].let_go == w->rollout;
	return count;
}

void trials_note_baking(struct world *w, const struct report *r)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);

	if (r->rollout != w->rollout)
		world_complain(w, "canaries of no rollout");
	if (!w->shuffled && view.id == r->rollout &&
		(r->count + let_go(w) < trials_canaries(w) ||
			ready_of(w, r->generation) < r->count))
		world_complain(w, "not all canaries are ready");
	if (r->kind == REPORT_BAKED) {
		/* one that came later, and says by itself that it is ready, is
		 * not watched; which bake time it had is not told by settings
		 * that came after it */
		if (w->baking == r->rollout && world_patient(w) < w->bake_by &&
			(view.id != r->rollout || (!w->shuffled && bake_of(w, &view) > 0)))
			world_complain(w, "they are not baked yet");
		if (!w->shuffled && view.id == r->rollout && w->asked_canary[view.id % 64].there &&
			w->baking != r->rollout && bake_of(w, &view) > 0)
			world_complain(w, "they were not baked");
		w->baked = r->rollout;
		return;
	}
	if (!w->shuffled && view.id == r->rollout && w->asked_canary[view.id % 64].there &&
		r->span != bake_of(w, &view))
		world_complain(w, "they bake for another time");
	w->baking = r->rollout;
	w->bake_by = world_patient(w) + r->span;
}

/* ---- who is replaced ---- */

/* Two in one place are as many as long as the old one takes to go, even when
 * the new one has died and yet another came. */
static unsigned count_errands(const struct world *w, enum errand errand)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < w->wanted; i++)
		count += w->places[i].alive == 2 && w->places[i].errand == errand;
	return count;
}

static unsigned count_beside(const struct world *w)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < w->wanted; i++)
		count += w->places[i].staying == 2 && w->places[i].errand != ERRAND_NONE;
	return count;
}

/* It serves yet, and its successor comes first. */
static bool is_unwell(enum why why)
{
	return why == WHY_CHECK || why == WHY_REQUEST;
}

static enum errand errand_of(
	const struct world *w, const struct process *p, const struct process *mate)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);

	/* who is of no rollout that has failed is left alone on the way back */
	if (w->rollout != 0 && p->generation == w->rollout_to &&
		mate->generation != w->rollout_to && (!view.going_back || mate->rejected))
		return ERRAND_ROLL;
	if (is_unwell(mate->unfit) && mate->ready)
		return ERRAND_MEND;
	if (mate->unfit != WHY_ITSELF && mate->ready)
		return ERRAND_RECYCLE;
	return ERRAND_NONE;
}

/* A new one of a rollout that has failed since. */
static bool has_failed(const struct world *w, const struct process *p)
{
	return p->errand == ERRAND_ROLL && (w->rollout == 0 || p->generation != w->rollout_to) &&
		p->generation != w->in_force.generation &&
		p->generation != cluster_generation(w->cluster);
}

/* They serve beside an old one that has to come back first. */
static unsigned count_spares(const struct world *w)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		const struct place *place = &w->places[i];

		count += place->alive == 2 &&
			(has_failed(w, &w->processes[place->workers[0]]) ||
				has_failed(w, &w->processes[place->workers[1]]));
	}
	return count;
}

/* Of the slot's two: does this one have the place? */
static bool has_place(const struct world *w, const struct process *p)
{
	struct slot_view view;

	cluster_view_slot(w->cluster, p->slot, &view);
	return &w->processes[view.worker[0].id] == p;
}

void trials_note_birth(
	struct world *w, struct process *p, const struct process *mate, const struct event *cause)
{
	unsigned most = trials_surge(w, cluster_settings(w->cluster));
	unsigned before = trials_surge(w, w->in_force.settings);

	(void)cause;
	if (before > most)
		most = before;
	if (mate == NULL || mate->going)
		return;
	p->errand = errand_of(w, p, mate);
	/* the old one of a canary that is not ready yet comes back, or of one
	 * that failed */
	if (p->errand != ERRAND_ROLL && mate->errand == ERRAND_ROLL && !has_place(w, mate) &&
		(!mate->ready || has_failed(w, mate))) {
		p->errand = ERRAND_NONE;
		return;
	}
	if (p->errand == ERRAND_NONE)
		world_complain(w, "a successor for one that is well");
	if (most == 0 && !w->disturbed && trials_surge(w, p->settings) == 0 && has_place(w, mate) &&
		(p->errand != ERRAND_ROLL || trials_canaries(w) == 0 || is_alone(w)))
		world_complain(w, "nobody may be beside it");
	if (p->errand == ERRAND_MEND || p->errand == ERRAND_RECYCLE)
		w->places[p->slot].errand = p->errand;
	if (p->errand == ERRAND_RECYCLE &&
		(w->rollout != 0 || count_errands(w, ERRAND_RECYCLE) > 1))
		world_complain(w, "recycling does not wait for its turn");
	if (p->errand == ERRAND_MEND && count_errands(w, ERRAND_MEND) > (most > 0 ? most : 1))
		world_complain(w, "too many unwell ones are replaced");
}

/* Of slots that leave nobody is replaced, and so it stays if they come back. */
void trials_note_scale(struct world *w)
{
	for (uint32_t i = w->wanted; i < SLOTS_MAX; i++)
		w->places[i].errand = ERRAND_NONE;
}

static void check_age(const struct world *w, const struct process *p)
{
	nsec_t age = world_patient(w) - p->ready_since;
	nsec_t most = p->settings->max_age;

	if (most == 0 || age < most - most / 10)
		world_complain(w, "it is not that old");
}

void trials_note_unfit(struct world *w, const struct report *r, const struct event *cause)
{
	struct process *p = witness_process(w, r->worker);
	bool told = cause->kind == EVENT_UNWELL && cause->worker == r->worker;

	if (p->life != LIFE_ALIVE || p->going)
		world_complain(w, "who is not well is not there");
	if (p->unfit == r->why || is_unwell(p->unfit))
		if (r->why != WHY_WATCHDOG && r->why != WHY_STALL)
			world_complain(w, "that was told before");
	if (r->why == WHY_WATCHDOG && !told && world_patient(w) < p->beat_by)
		world_complain(w, "it has time to send WATCHDOG=1 yet");
	if (r->why == WHY_STALL && !told)
		world_complain(w, "nobody said that it stalls");
	if (r->why == WHY_AGE)
		check_age(w, p);
	p->unfit = r->why;
}

static bool serves(const struct process *p)
{
	return p != NULL && p->life == LIFE_ALIVE && p->ready && !p->leaving && !p->going;
}

/* It served, and we ask it to go: who serves in its place? */
void trials_note_goes(struct world *w, const struct report *r)
{
	struct process *p = witness_process(w, r->worker);
	const struct process *mate = witness_mate(w, r->worker);

	if (!p->ready)
		return;
	if ((is_unwell(r->why) || r->why == WHY_MEMORY || r->why == WHY_AGE ||
		    r->why == WHY_SERVED) &&
		((!serves(mate) && trials_surge(w, cluster_settings(w->cluster)) > 0) ||
			p->unfit != r->why))
		world_complain(w, "it is replaced by nobody");
	if (r->why != WHY_ROLL || !trials_go_on(w) || p->leaving || has_failed(w, p))
		return;
	if (is_alone(w))
		return;
	if (!serves(mate) || mate->generation == w->rollout_to)
		world_complain(w, "an old one goes before the canaries baked");
}

/* Its successor is well: what was before is forgotten. */
void trials_note_end(struct world *w, uint64_t worker)
{
	const struct process *mate = witness_mate(w, worker);
	struct place *place = &w->places[w->processes[worker].slot];
	bool through =
		mate != NULL && place->errand != ERRAND_NONE && place->errand != ERRAND_FOUND;

	if (mate == NULL || !mate->going)
		place->errand = ERRAND_NONE;
	if (!through || !serves(mate) || mate->unfit != WHY_ITSELF)
		return;
	place->forgiven = false;
	place->failures = 0;
}

/* ---- events about them ---- */

static nsec_t interval_of(const struct process *p)
{
	return p->interval > 0 ? p->interval : p->settings->watchdog;
}

void trials_expect_beat(const struct world *w, struct process *p)
{
	p->beat_by = NSEC_NEVER;
	if (interval_of(p) > 0)
		p->beat_by = world_patient(w) + interval_of(p);
}

void trials_note_event(struct world *w, const struct event *e)
{
	struct process *p = witness_process(w, e->worker);

	if (e->kind == EVENT_WATCHDOG && !p->going && !p->leaving)
		p->interval = e->span;
	if (e->kind == EVENT_WATCHDOG || e->kind == EVENT_ALIVE) {
		trials_expect_beat(w, p);
		return;
	}
	if (e->kind == EVENT_UNWELL && !p->going && trials_go_on(w) &&
		p->generation == w->rollout_to && p->ready &&
		p->settings->restart == RESTART_ALWAYS)
		w->must_fail = w->rollout;
}

/* ---- when all has come to rest ---- */

void trials_check_process(struct world *w, uint64_t id)
{
	struct process *p = &w->processes[id];
	nsec_t age = world_patient(w) - p->ready_since;
	nsec_t most = p->settings->max_age;

	if (!p->ready || p->going || p->leaving)
		return;
	if (interval_of(p) > 0 && world_patient(w) >= p->beat_by)
		world_complain(w, "worker %" PRIu64 " is silent", id);
	if (world_patient(w) >= p->beat_by)
		p->beat_by = NSEC_NEVER; /* nothing is expected any more */
	if (most > 0 && age >= most + most / 10 && p->unfit == WHY_ITSELF)
		world_complain(w, "worker %" PRIu64 " is too old", id);
}

void trials_check(struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);

	if (view.under_way && view.baking != 0 && view.baking <= w->now)
		world_complain(w, "the canaries bake for too long");
	w->spares = count_spares(w);
	w->exchanged = count_errands(w, ERRAND_MEND) + count_errands(w, ERRAND_RECYCLE);
	w->beside = count_beside(w);
}
