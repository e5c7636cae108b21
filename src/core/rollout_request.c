/* SPDX-License-Identifier: MIT */
#include "core/rollout_request.h"

#include "core/internal.h"

#include <string.h>

/* ---- requests ---- */

/* How many generations would be old if another one began now. */
static unsigned old_ones(const struct cluster *c)
{
	unsigned count = 0;

	for (unsigned i = 0; i < c->generations.count; i++) {
		const struct generation *g = &c->generations.list[i];
		bool leaves = g->number == c->rollout.to && g->serving == g->beside;

		if (g->workers > 0 && !leaves)
			count++;
	}
	return count;
}

static bool has_to_wait(const struct cluster *c, const struct event *e)
{
	const struct rollout *r = &c->rollout;

	if (r->unprepared)
		return true; /* the command must not run twice at a time */
	if (c->waiting_id != 0)
		return true; /* else this request would overtake the older one, which would win */
	if (r->fresh)
		return false;
	if (e->slot != SLOT_ALL && r->scope != e->slot)
		return true;
	return old_ones(c) > cluster_settings(c)->old_generations;
}

/* Of waiting requests the last one wins, with all that the others asked for. */
static void wait_for_turn(struct cluster *c, const struct event *e, unsigned id)
{
	struct event *w = &c->waiting;

	if (c->waiting_id == 0) {
		*w = *e;
		c->waiting_id = id;
		return;
	}
	(void)rollout_report(c, REPORT_ROLLOUT_SUPERSEDED, c->waiting_id);
	c->waiting_id = id;
	if (w->slot != e->slot)
		w->slot = SLOT_ALL;
	w->command_changed |= e->command_changed;
	w->drops_ports |= e->drops_ports;
	if (e->slot == SLOT_ALL) {
		w->has_canary = e->has_canary;
		w->count = e->count;
		w->has_bake = e->has_bake;
		w->span = e->span;
	}
	if (e->settings == NULL)
		return;
	cluster_settings_unref(w->settings);
	w->settings = e->settings;
}

/* End the rollout under way; its workers that are not ready yet are stopped. */
static void supersede_rollout(struct cluster *c)
{
	struct generation *to = cluster_find_generation(c, c->rollout.to);

	(void)rollout_report(c, REPORT_ROLLOUT_SUPERSEDED, c->rollout.id);
	c->rollout.under_way = false;
	if (!c->rollout.fresh)
		to->rejected = WHY_ROLL;
	cluster_sweep(c);
}

void rollout_ask(struct cluster *c, const struct event *e)
{
	struct event asked = *e;
	unsigned like = cluster_latest_generation(c);

	c->asked_rollout = ++c->last_rollout;
	if (c->stopping && !c->end_reported) {
		rollout_fail_by_stop(c, c->asked_rollout, SLOT_ALL);
		cluster_settings_unref(e->settings);
		return;
	}
	if (c->rollout.under_way && has_to_wait(c, e)) {
		wait_for_turn(c, e, c->asked_rollout);
		return;
	}
	if (asked.settings == NULL)
		asked.settings = cluster_settings_ref(cluster_find_generation(c, like)->settings);
	if (c->stopping) { /* no old worker is left: the new generation is in force at once */
		cluster_revive(c);
		asked.slot = SLOT_ALL;
		rollout_begin(c, c->asked_rollout, &asked, c->generation);
		rollout_be_fresh(c);
		return;
	}
	if (c->rollout.under_way)
		supersede_rollout(c);
	rollout_begin(c, c->asked_rollout, &asked, like);
}

void rollout_settings(struct cluster *c, const struct event *e)
{
	unsigned latest = cluster_latest_generation(c);
	struct generation *to = cluster_find_generation(c, latest);

	if (c->waiting_id != 0 && c->waiting.settings != NULL) {
		cluster_settings_unref(c->waiting.settings);
		c->waiting.settings = e->settings;
		c->waiting.command_changed |= e->command_changed;
		return;
	}
	if (e->command_changed) {
		to->command = ++c->last_command;
		memset(to->knows, 0, sizeof(to->knows));
	}
	if (e->settings == NULL)
		return;
	to->knows[LESSON_UNGATED] = false;
	c->rollout.watch = 0; /* these settings are newer than those it would go back to */
	generations_replace(&c->generations, to->settings, e->settings);
	cluster_sweep(c); /* workers may be too old by the new settings */
	cluster_settings_unref(e->settings);
}
