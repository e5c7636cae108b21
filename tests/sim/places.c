/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <inttypes.h>

static void check_process(struct world *w, uint64_t id)
{
	const struct process *p = &w->processes[id];
	nsec_t now = world_patient(w);

	trials_check_process(w, id);
	if (p->life == LIFE_ASKED)
		world_complain(w, "worker %" PRIu64 " was not answered", id);
	if (w->at_once && w->stopping && !p->killed)
		world_complain(w, "worker %" PRIu64 " is not killed", id);
	if (p->going && now >= p->gone_by)
		world_complain(w, "worker %" PRIu64 " should be gone", id);
	if (p->going || p->ready)
		return;
	if (now >= p->ready_by)
		world_complain(w, "worker %" PRIu64 " starts too long", id);
	/* another command than the first may have to listen as that did */
	if (now >= p->proven_at && !p->other_mode && (p->mode == READY_ALIVE || p->command == 0) &&
		!witness_has_to_listen(w, p))
		world_complain(w, "worker %" PRIu64 " is proven", id);
}

static void check_wanted(struct world *w, uint32_t i)
{
	const struct place *place = &w->places[i];

	if (place->staying > 0 || place->ended)
		return;
	if (place->alive > 0 && place->refill_by == NSEC_NEVER)
		return; /* it is filled when a leaver is gone */
	if (starts_are_full(w))
		return;
	if (place->refill_by == NSEC_NEVER)
		world_complain(w, "slot %" PRIu32 " is empty", i);
	if (place->refill_by <= w->now)
		world_complain(w, "slot %" PRIu32 " should be filled", i);
}

static void check_unwanted(struct world *w, uint32_t i)
{
	if (w->places[i].staying > 0)
		world_complain(w, "slot %" PRIu32 " should leave", i);
}

static void check_place(struct world *w, uint32_t i)
{
	const struct place *place = &w->places[i];

	for (unsigned k = 0; k < place->alive; k++)
		check_process(w, place->workers[k]);
	if (i < w->wanted && !w->stopping)
		check_wanted(w, i);
	else
		check_unwanted(w, i);
}

/* Has the rollout begun with this slot, and not ended? */
static bool is_in_step(const struct world *w, uint32_t i, const struct rollout_view *rollout)
{
	const struct place *place = &w->places[i];

	if (place->stepped == rollout->id)
		return false;
	for (unsigned k = 0; k < place->alive; k++) {
		const struct process *p = &w->processes[place->workers[k]];

		if (p->generation == rollout->to || (p->going && p->why == WHY_ROLL))
			return true;
	}
	return false;
}

static void check_rollout(struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);
	unsigned most;
	unsigned in_step = 0;

	if (view.under_way != (w->rollout != 0) || (view.under_way && view.id != w->rollout))
		world_complain(w, "which rollout is under way?");
	if (!view.under_way || w->disturbed || cluster_state(w->cluster) != CLUSTER_ROLLING)
		return;
	most = trials_surge(w, view.settings) + trials_unavailable(w, view.settings);
	most += trials_canaries(w); /* whose old ones still go */
	/* and those whose old one has ended for good by itself */
	if (view.settings->restart != RESTART_ALWAYS ||
		w->in_force.settings->restart != RESTART_ALWAYS)
		most = trials_canaries(w) > 0 ? w->wanted : most;
	for (uint32_t i = 0; i < w->wanted; i++)
		in_step += is_in_step(w, i, &view);
	if (in_step > (most > 0 ? most : 1))
		world_complain(w, "%u slots are rolled at a time", in_step);
}

static unsigned surge_of(const struct world *w)
{
	unsigned most = 1;

	for (unsigned i = 0; i < w->plan_count; i++)
		if (trials_surge(w, w->plans[i].settings) > most)
			most = trials_surge(w, w->plans[i].settings);
	if (most < trials_canaries(w))
		most = trials_canaries(w);
	return most;
}

static void check_numbers(struct world *w, unsigned staying)
{
	unsigned most = w->wanted;

	if (w->rollout != 0)
		most += surge_of(w);
	most += w->beside + w->spares; /* trials.c has looked at these */
	if (!w->stopping && staying > most)
		world_complain(w, "%u workers for %u slots", staying, w->wanted);
	if (!w->disturbed && w->alive > w->wanted + surge_of(w) + w->exchanged + w->spares)
		world_complain(w, "%u are alive for %u slots", w->alive, w->wanted);
}

/* Slots whose place is held by one that is ready. */
static unsigned in_turn(const struct world *w)
{
	struct slot_view view;
	unsigned count = 0;

	for (uint32_t i = 0; i < cluster_slots(w->cluster); i++) {
		cluster_view_slot(w->cluster, i, &view);
		count += view.workers > 0 && view.worker[0].state == SLOT_READY;
	}
	return count;
}

static void check_turn(struct world *w)
{
	bool first = world_chance(w, 300);
	uint32_t i = cluster_next_in_turn(w->cluster, first);
	struct slot_view view;
	uint32_t next;

	twin_next_in_turn(w, first, i);
	if ((i == SLOT_ALL) != (in_turn(w) == 0))
		world_complain(w, "whose turn is it?");
	if (i == SLOT_ALL)
		return;
	cluster_view_slot(w->cluster, i, &view);
	if (view.worker[0].state != SLOT_READY)
		world_complain(w, "it is the turn of one that is not ready");
	if (first || in_turn(w) <= 1)
		return;
	next = cluster_next_in_turn(w->cluster, false);
	twin_next_in_turn(w, false, next);
	if (next == i)
		world_complain(w, "it is always the turn of the same");
}

void places_check(struct world *w)
{
	unsigned staying = 0;

	if (w->wanted > 50 && w->checks % 32 != 0)
		return;
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		if (i >= w->wanted && i >= cluster_slots(w->cluster) && i > 64)
			break;
		check_place(w, i);
		staying += w->places[i].staying;
	}
	trials_check(w);
	check_rollout(w);
	check_numbers(w, staying);
	if (w->checks % 16 == 0)
		check_turn(w);
}
