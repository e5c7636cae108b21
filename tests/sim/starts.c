/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "core/internal.h"

/* A command of which it cannot be seen when it has started. */
static bool is_silent(const struct world *w, const struct cluster_settings *settings)
{
	const struct plan *plan = world_plan_of(w, settings);
	const struct known *known = &w->known[plan != NULL ? plan->command : 0];

	return settings->ready == READY_ALIVE ||
		(settings->ready == READY_AUTO && known->silent && !known->says_ready &&
			!known->listens);
}

static unsigned limit_by(const struct world *w, const struct cluster_settings *settings)
{
	if (settings == NULL || settings->start_at_once == 0 || is_silent(w, settings))
		return UINT32_MAX;
	return settings->start_at_once;
}

/* The limit may be changed within this call: the least and the highest. */
static void find_limits(const struct world *w, unsigned *least, unsigned *most)
{
	const struct cluster_settings *settings[3] = {
		w->in_force.settings, cluster_settings(w->cluster)};
	struct rollout_view view = cluster_view_rollout(w->cluster);

	settings[2] = view.under_way ? view.settings : settings[1];
	*least = UINT32_MAX;
	*most = 0;
	for (int i = 0; i < 3; i++) {
		unsigned limit = limit_by(w, settings[i]);

		*least = limit < *least ? limit : *least;
		*most = limit > *most ? limit : *most;
	}
}

/* It was asked for, and is not wanted any more: nothing tells of that. */
static bool is_called_off(const struct world *w, uint32_t slot, uint64_t id)
{
	struct slot_view view;

	if (w->processes[id].life != LIFE_ASKED)
		return false;
	cluster_view_slot(w->cluster, slot, &view);
	for (unsigned k = 0; k < view.workers; k++)
		if (view.worker[k].id == id)
			return view.worker[k].state == SLOT_STOPPING;
	return false;
}

static bool is_starting(const struct world *w, uint32_t slot, uint64_t id)
{
	const struct process *p = &w->processes[id];

	return !p->ready && !p->going && !p->draining && !is_called_off(w, slot, id) &&
		(p->life == LIFE_ASKED || w->now < p->born + LINE_PATIENCE);
}

/* Of a generation; 0: of all. */
static unsigned starting(const struct world *w, unsigned generation)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		for (unsigned k = 0; k < w->places[i].alive; k++) {
			uint64_t id = w->places[i].workers[k];

			count += is_starting(w, i, id) &&
				(generation == 0 || w->processes[id].generation == generation);
		}
	return count;
}

void starts_note_spawn(const struct world *w, unsigned generation)
{
	unsigned least;
	unsigned most;
	unsigned count = starting(w, generation);

	find_limits(w, &least, &most);
	if (most != UINT32_MAX && count > most)
		world_complain(w, "%u start at once", count);
}

bool starts_are_full(const struct world *w)
{
	unsigned least;
	unsigned most;

	find_limits(w, &least, &most);
	return least != UINT32_MAX && starting(w, 0) >= least;
}
