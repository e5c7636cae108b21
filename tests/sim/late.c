/* SPDX-License-Identifier: MIT */
#include "world.h"

/*
 * A rollout that is done: where it was but guessed that its workers are ready, each
 * is watched until it has been for `stable-after`.  One that ends before that takes
 * the outcome back.
 */

/* What cannot be told from outside: it goes back, is of one slot's request, has got
 * other settings since, or another one was done at the same moment. */
static bool is_vague(const struct world *w, unsigned rollout)
{
	return w->shuffled || !w->asked_canary[rollout % 64].there || w->done_in_call > 0;
}

static unsigned ended(const struct world *w)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < w->wanted; i++)
		count += w->places[i].ended;
	return count;
}

/* That would be rare: one of them ends while it is watched, or a little later. */
static void end_one(struct world *w)
{
	struct event e = {
		.kind = EVENT_EXITED,
		.worker = w->last_worker,
		.ending = {.kind = ENDING_EXIT, .code = 3},
	};

	while (e.worker > 1 && w->processes[e.worker].generation != w->late.generation)
		e.worker--;
	e.slot = w->processes[e.worker].slot;
	world_schedule(w, w->now + world_span(w, 0, 3 * w->late.watch / 2), &e);
}

void late_note_done(struct world *w, const struct report *r)
{
	const struct cluster_settings *now = cluster_settings(w->cluster);
	nsec_t bake = w->asked_canary[r->rollout % 64].span;

	if (bake == -1)
		bake = now->bake;
	w->late.vague = is_vague(w, r->rollout);
	if (!w->late.vague && w->ready + ended(w) < w->wanted)
		world_complain(w, "it is done, and too few are ready");
	w->late.rollout = r->rollout;
	w->late.generation = r->generation;
	w->late.from = w->in_force.settings;
	w->late.to = now;
	w->late.done_at = world_patient(w);
	w->late.watch = bake != 0 && trials_is_guessed(w, now) ? now->stable_after : 0;
	w->done_in_call++;
	if (w->late.watch > 0 && w->last_worker > 0 && !w->calm && world_chance(w, 200))
		end_one(w);
}

/* Was it one of those, and is its time not over? */
static bool is_watched(const struct world *w, const struct process *p)
{
	return w->late.rollout != 0 && p->generation == w->late.generation &&
		p->ready_since <= w->late.done_at &&
		world_patient(w) - p->ready_since < w->late.watch;
}

void late_note_death(struct world *w, const struct report *r)
{
	const struct process *p = witness_process(w, r->worker);

	if (!w->late.vague && r->was_ready && is_watched(w, p))
		w->must_fail = w->late.rollout;
}

static bool serves_by_others(const struct world *w)
{
	const struct cluster_settings *right = cluster_settings(w->cluster);

	for (uint64_t id = 1; id <= w->last_worker; id++) {
		const struct process *p = &w->processes[id];

		if (p->life == LIFE_ALIVE && p->ready && !p->going && p->slot < w->wanted &&
			p->settings != right)
			return true;
	}
	return false;
}

void late_note_failed(struct world *w, const struct report *r)
{
	bool changed = w->late.from != w->late.to;

	if (r->span == NSEC_NEVER || r->rollout != w->late.rollout)
		world_complain(w, "a rollout fails that is not under way");
	if (!is_watched(w, witness_process(w, r->worker)) && !w->late.vague)
		world_complain(w, "a rollout that is done fails without need");
	if (r->span != world_patient(w) - w->late.done_at)
		world_complain(w, "it was done for another time");
	w->late.rollout = 0;
	w->done = 0;
	w->taken_back += changed;
	w->no_way_back += !changed;
	if (w->late.vague)
		return;
	if (r->back != changed)
		world_complain(w, "does it go back, or not?");
	if (cluster_settings(w->cluster) != w->late.from)
		world_complain(w, "what failed after all is in force");
	w->must_go_back = serves_by_others(w);
}

/* After all of an event: has the way back begun? */
void late_check(struct world *w)
{
	if (w->must_go_back && w->rollout == 0 && !w->failed)
		world_complain(w, "nobody goes back");
	w->must_go_back = false;
	w->done_in_call = 0;
}
