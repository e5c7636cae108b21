/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>

static bool died_too_often(const struct world *w, const struct cluster_settings *s)
{
	unsigned limit = s->give_up_count;

	if (limit == 0 || w->death_count < limit)
		return false;
	return w->now - w->deaths[(w->death_count - limit) % GIVE_UP_MAX] <= s->give_up_window;
}

/* Other settings may come into force within the same call. */
static void note_unasked_death(struct world *w, const struct report *r)
{
	bool before;
	bool after;

	if (w->stopping || r->slot >= w->wanted || w->was_beside)
		return;
	w->deaths[w->death_count++ % GIVE_UP_MAX] = w->now;
	before = died_too_often(w, w->in_force.settings);
	after = died_too_often(w, cluster_settings(w->cluster));
	w->may_give_up |= before || after;
	w->gave_up |= before && after;
}

/* Each wait of a loop is twice as long as the one before it. */
static void check_growth(struct world *w, struct place *place, const struct report *r)
{
	const struct process *p = witness_process(w, r->worker);
	const struct cluster_settings *s = p->settings;
	nsec_t least = s->backoff_min;

	if (place->failed_by != s)
		place->failures = 0;
	place->failed_by = s;
	for (unsigned i = 0; i < place->failures && least < s->backoff_max; i++)
		least *= 2;
	if (least > s->backoff_max / (100 + s->backoff_jitter) * 100)
		least = s->backoff_max / (100 + s->backoff_jitter) * 100;
	if (r->wait < least - least * s->backoff_jitter / 100)
		world_complain(w, "the backoff is too short");
	place->failures++;
}

/* Nobody is at work: then one is started at once, 16 times and then each 5 s. */
static bool is_rescue(struct world *w, const struct report *r)
{
	if (!r->was_ready)
		return false;
	if (r->wait != 0 && !(r->ending.out_of_memory && r->wait == 50 * MSEC))
		return false;
	for (uint64_t id = 1; id <= w->last_worker; id++) {
		const struct process *p = witness_process(w, id);

		if (p != NULL && id != r->worker && p->life == LIFE_ALIVE && p->ready &&
			!p->going && !p->draining && !p->leaving && !p->killed)
			return false;
	}
	if (w->rescues_from < w->now)
		w->rescues_from = w->now;
	w->rescues_from += 5 * SECOND;
	if (w->rescues_from > w->now + 80 * SECOND)
		world_complain(w, "more are started at once than may be");
	w->rescued++;
	return true;
}

static bool is_success(const struct cluster_settings *s, struct ending ending)
{
	return ending.kind == ENDING_EXIT && cluster_is_success(s, (unsigned)ending.code);
}

static void check_wait(struct world *w, struct place *place, const struct report *r)
{
	const struct process *p = witness_process(w, r->worker);
	const struct cluster_settings *s = p->settings;
	bool done = r->why == WHY_ITSELF && is_success(s, r->ending) && r->age >= SECOND &&
		r->age >= s->stable_after;
	bool ends_loop = r->was_ready &&
		(done || (r->ready_for >= MINUTE && r->ready_for >= s->stable_after));
	bool first = ends_loop || (r->was_ready && !place->forgiven);

	if (r->ending.kind == ENDING_SPAWN && r->ending.code == EAGAIN) {
		if (r->wait > SECOND)
			world_complain(w, "it waits too long for what it lacks");
		return;
	}
	if (place->vague && r->was_ready && !ends_loop) {
		place->vague = false;
		place->forgiven = true;
		place->failures = 0;
		return;
	}
	if (ends_loop)
		place->vague = false;
	if (first) {
		if (r->wait != (r->ending.out_of_memory ? 50 * MSEC : 0))
			world_complain(w, "it should be replaced at once");
		place->forgiven = true;
		place->failures = 0;
		w->forgotten += ends_loop;
		return;
	}
	if (is_rescue(w, r)) {
		if (place->failed_by != s)
			place->failures = 0;
		place->failed_by = s;
		place->failures++;
		return;
	}
	if (r->wait > s->backoff_max)
		world_complain(w, "the backoff is too long");
	if (r->was_ready && r->wait == 0)
		world_complain(w, "it dies again and again without a wait");
	check_growth(w, place, r);
	w->slow_waits += r->was_ready && r->ready_for >= s->stable_after;
}

static bool was_asked(const struct report *r)
{
	return r->why != WHY_ITSELF && r->why != WHY_START_TIMEOUT && r->why != WHY_WATCHDOG &&
		r->why != WHY_STALL;
}

/* One that is on trial, or failed it, is left in the slot. */
static void expect_old_one(const struct world *w, struct place *place, const struct report *r)
{
	if (was_asked(r))
		return;
	place->vague |= r->was_ready;
	if (r->was_ready)
		place->failures = 0;
	if (r->wait == NSEC_NEVER || r->wait == 0 || w->was_beside)
		return;
	place->refill_by = w->now + r->wait;
	place->exact = false;
}

/* Is it to be filled, once others have started? */
static bool is_in_line(const struct world *w, uint32_t slot)
{
	struct slot_view view;

	cluster_view_slot(w->cluster, slot, &view);
	return cluster_state(w->cluster) == CLUSTER_FAILED || /* it was */
		(view.workers == 0 && view.state == SLOT_STARTING);
}

/* Nobody who is to stay is left in the slot. */
static void expect_refill(struct world *w, struct place *place, const struct report *r)
{
	bool will_be = place->alive > 0 || place->refill_by != NSEC_NEVER;

	if (r->wait == NSEC_NEVER && will_be)
		return;
	if (r->wait == NSEC_NEVER && !place->unsure && !is_in_line(w, r->slot))
		world_complain(w, "a wanted slot is given up");
	if (r->wait == NSEC_NEVER) {
		place->refill_by = w->now + 60 * SECOND;
		place->exact = false;
		return;
	}
	place->refill_by = w->now + r->wait;
	place->exact = true;
	if (!was_asked(r) && !w->may_give_up)
		check_wait(w, place, r);
}

static bool ends_slot(const struct action *next)
{
	return next != NULL && next->kind == ACTION_REPORT &&
		next->report.kind == REPORT_SLOT_ENDED;
}

/* Is the slot left empty if, and only if, the restart policy says so? */
static void check_policy(const struct world *w, const struct report *r, bool ends)
{
	const struct process *p = &w->processes[r->worker];
	const struct cluster_settings *s = p->settings;
	const struct place *place = &w->places[r->slot];
	bool on_trial = w->rollout != 0 && p->generation == w->rollout_to;
	bool only_failures = s->restart == RESTART_ON_FAILURE;

	if (ends && s->restart == RESTART_ALWAYS)
		world_complain(w, "a slot ended that should go on");
	if (ends && only_failures && !is_success(s, r->ending))
		world_complain(w, "a slot ended with a failure");
	if (ends || r->why != WHY_ITSELF || s->restart == RESTART_ALWAYS ||
		r->ending.kind == ENDING_SPAWN || place->alive > 0 || on_trial ||
		place->refill_by != NSEC_NEVER)
		return;
	if (!only_failures || is_success(s, r->ending))
		world_complain(w, "a slot goes on that should end");
}

/* The restart policy wants nobody in its place, but the rollout does. */
static void note_let_go(
	const struct world *w, struct place *place, const struct process *p, const struct report *r)
{
	const struct cluster_settings *s = p->settings;
	bool well = r->why == WHY_ITSELF && is_success(s, r->ending);

	if (place->alive > 0 && s->restart != RESTART_ALWAYS &&
		(well || s->restart == RESTART_NEVER))
		place->let_go = w->rollout;
}

/* What has to happen within the same call. */
static void note_failures(struct world *w, const struct report *r)
{
	const struct process *p = witness_process(w, r->worker);

	if (was_asked(r))
		return;
	if (r->ending.kind == ENDING_SPAWN && r->ending.permanent && !w->lived &&
		p->generation == w->in_force.generation)
		w->must_give_up = true;
	if (w->rollout != 0 && p->generation == w->rollout_to &&
		(p->settings->restart == RESTART_ALWAYS || !is_success(p->settings, r->ending)))
		w->must_fail = w->rollout;
	if (p->settings->restart == RESTART_ALWAYS || !is_success(p->settings, r->ending))
		late_note_death(w, r);
}

void deaths_check(struct world *w)
{
	enum cluster_state state = cluster_state(w->cluster);

	if (w->gave_up && state != CLUSTER_FAILED)
		world_complain(w, "too many deaths, and it goes on");
	if (w->must_give_up && state != CLUSTER_FAILED)
		world_complain(w, "it cannot be run, and it goes on");
	if (w->must_fail != 0 && w->must_fail == w->rollout)
		world_complain(w, "the rollout goes on after a failure");
	if (w->must_fail != 0 && w->must_fail == w->late.rollout)
		world_complain(w, "the rollout stays done after a failure");
	w->must_give_up = false;
	w->must_fail = 0;
}

void deaths_note_exit(struct world *w, const struct report *r, const struct action *next)
{
	struct place *place = &w->places[r->slot];
	struct process *p = witness_process(w, r->worker);
	bool ends = ends_slot(next);
	bool wanted = !w->stopping && r->slot < w->wanted;

	if (p->life != LIFE_OVER)
		world_complain(w, "an exit that nobody saw");
	if (p->ready != r->was_ready)
		world_complain(w, "was it ready, or not?");
	if (p->timed_out != (r->why == WHY_START_TIMEOUT) && !w->at_once)
		world_complain(w, "why did it go?");
	place->lived = r->was_ready || r->ending.done || r->why != WHY_ITSELF ? 0 : r->age;
	if (!wanted || place->ended)
		return;
	check_policy(w, r, ends);
	note_failures(w, r);
	if (ends)
		return;
	if (!was_asked(r))
		note_let_go(w, place, p, r);
	if (place->staying == 0)
		expect_refill(w, place, r);
	else
		expect_old_one(w, place, r);
	if (!was_asked(r))
		note_unasked_death(w, r);
}

/* Does an older one have the place? */
static bool is_beside(const struct world *w, const struct process *p)
{
	const struct process *mate = witness_mate(w, (uint64_t)(p - w->processes));

	return mate != NULL && mate < p && (!p->ready || !mate->going);
}

void deaths_note_unkillable(struct world *w, const struct report *r, const struct action *next)
{
	struct process *p = witness_process(w, r->worker);
	struct place *place = &w->places[p->slot];

	if (!p->killed || world_patient(w) < p->gone_by)
		world_complain(w, "it had its ten seconds not yet");
	w->was_beside = is_beside(w, p);
	witness_bury(w, r->worker);
	if (ends_slot(next))
		return;
	if (!was_asked(r) && !place->ended)
		note_unasked_death(w, r);
	place->unsure = place->staying == 0;
	if (place->alive == 0 && place->refill_by == NSEC_NEVER)
		place->refill_by = w->now + p->settings->backoff_max * 2;
	place->vague = true;
	place->failures = 0;
}
