/* SPDX-License-Identifier: MIT */
#include "core/view.h"

#include "base/scope.h"
#include "core/canary.h"
#include "core/internal.h"
#include "core/rollout.h"

const struct cluster_settings *cluster_settings(const struct cluster *c)
{
	return cluster_in_force(c)->settings;
}

const struct cluster_settings *cluster_generation_settings(
	const struct cluster *c, unsigned generation)
{
	const struct generation *g = cluster_find_generation(c, generation);

	return g != NULL ? g->settings : NULL;
}

const struct cluster_settings *cluster_next_settings(const struct cluster *c)
{
	if (c->waiting_id != 0 && c->waiting.settings != NULL)
		return c->waiting.settings;
	if (c->rollout.under_way)
		return cluster_find_generation(c, c->rollout.to)->settings;
	return cluster_settings(c);
}

enum cluster_state cluster_state(const struct cluster *c)
{
	return c->state;
}

bool cluster_all_ready(const struct cluster *c)
{
	return c->all_ready && !c->stopping;
}

bool cluster_was_stopped(const struct cluster *c)
{
	return c->asked_to_stop && !c->failed;
}

unsigned cluster_wanted(const struct cluster *c)
{
	return c->wanted;
}

unsigned cluster_ready(const struct cluster *c)
{
	return c->ready + c->did;
}

bool cluster_is_settled(const struct cluster *c)
{
	if (cluster_is_on_demand(c))
		return true;
	return cluster_ready(c) + c->ended >= c->wanted &&
		c->alive <= cluster_ready(c) + c->spares && c->alive <= c->places;
}

bool cluster_has_spare(const struct cluster *c)
{
	return c->spares > 0;
}

unsigned cluster_spares(const struct cluster *c)
{
	return c->places - c->wanted;
}

unsigned cluster_most(const struct cluster *c)
{
	unsigned extra = rollout_pace(c, c->generation).extra;

	return c->places + (extra < c->wanted ? extra : c->wanted);
}

unsigned cluster_alive(const struct cluster *c)
{
	return c->alive;
}

unsigned cluster_generation(const struct cluster *c)
{
	return c->generation;
}

unsigned cluster_latest_generation(const struct cluster *c)
{
	return c->rollout.under_way ? c->rollout.to : c->generation;
}

uint32_t cluster_slots(const struct cluster *c)
{
	return c->count;
}

bool cluster_ever_ready(const struct cluster *c)
{
	return c->ever_ready;
}

int cluster_exit_status(const struct cluster *c)
{
	return c->status;
}

bool cluster_knows_notify(const struct cluster *c)
{
	return cluster_in_force(c)->knows[LESSON_SAYS_READY];
}

bool cluster_knows_listen(const struct cluster *c)
{
	return cluster_in_force(c)->knows[LESSON_LISTENS];
}

uint64_t cluster_last_worker(const struct cluster *c)
{
	return c->last_worker;
}

unsigned cluster_last_rollout(const struct cluster *c)
{
	return c->asked_rollout;
}

static enum slot_state state_of_worker(const struct worker *w)
{
	switch (w->state) {
	case WORKER_ASKED:
	case WORKER_STARTING:
		return SLOT_STARTING;
	case WORKER_READY:
		return SLOT_READY;
	case WORKER_LEAVING:
	case WORKER_DRAINING:
		return SLOT_DRAINING;
	case WORKER_UNWANTED:
	case WORKER_STOPPING:
	case WORKER_KILLED:
		return SLOT_STOPPING;
	case WORKER_SPARE:
		return SLOT_SPARE;
	case WORKER_NONE:
	case WORKER_STATES:
		break;
	}
	return SLOT_EMPTY;
}

static enum slot_state state_of_empty(const struct cluster *c, uint32_t i, const struct slot *s)
{
	if (s->life != c->life)
		return SLOT_EMPTY;
	if (s->ended == SLOT_ENDED_WELL)
		return SLOT_ENDED;
	if (s->ended == SLOT_ENDED_BADLY || c->failed)
		return SLOT_FAILED;
	if (cluster_wants(c, i) && s->did != 0)
		return SLOT_WAITING;
	if (cluster_wants(c, i) && s->retry > c->now)
		return SLOT_BACKOFF;
	if (s->waits != 0)
		return SLOT_STARTING;
	return SLOT_EMPTY;
}

static void add_worker(
	struct slot_view *view, const struct slot *s, const struct worker *w, nsec_t lost)
{
	if (w->state == WORKER_NONE)
		return;
	view->worker[view->workers++] = (struct worker_view){
		.id = w->id,
		.pid = w->pid,
		.generation = w->generation,
		.state = state_of_worker(w),
		.born = w->born,
		.ready_at = w->ready_at,
		.due = worker_due(w, lost),
		.stop_step = w->stop_step,
		.killed = w->state == WORKER_KILLED,
		.did = s->did != 0,
		.share = w->age_share,
	};
}

void cluster_view_slot(const struct cluster *c, uint32_t slot, struct slot_view *view)
{
	const struct slot *s;

	*view = (struct slot_view){.next_try = NSEC_NEVER, .mend_at = NSEC_NEVER};
	if (slot >= c->count)
		return;
	s = &c->slots[slot];
	add_worker(view, s, &s->main, c->lost);
	add_worker(view, s, &s->other, c->lost);
	view->state = view->workers > 0 ? view->worker[0].state : state_of_empty(c, slot, s);
	view->waits = view->workers == 0 && view->state == SLOT_STARTING;
	if (view->state == SLOT_BACKOFF || view->state == SLOT_WAITING)
		view->next_try = s->retry;
	if (cluster_wants(c, slot))
		view->mend_at = gate_due(c, s);
	view->restarts = s->restarts;
	view->last = s->last;
	view->last_why = s->last_why;
	view->last_age = s->last_age;
}

nsec_t cluster_drain_left(const struct cluster *c, uint32_t slot, uint64_t worker, nsec_t now)
{
	const struct slot *s = &c->slots[slot];
	const struct worker *w = s->main.id == worker ? &s->main : &s->other;

	if (slot >= c->count || w->id != worker || w->state != WORKER_DRAINING)
		return -1;
	now -= c->lost;
	return w->deadline > now ? w->deadline - now : 0;
}

static uint32_t waited_for(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;

	if (r->extra + r->fewer + r->held == 0 || r->bake_until != NSEC_NEVER)
		return SLOT_ALL;
	if (r->last < c->count && rollout_has_turned(c, &c->slots[r->last]) &&
		c->slots[r->last].step != STEP_NONE)
		return r->last;
	for (uint32_t i = 0; i < c->count; i++)
		if (rollout_has_turned(c, &c->slots[i]) && c->slots[i].step != STEP_NONE)
			return i;
	return SLOT_ALL;
}

struct rollout_view cluster_view_rollout(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;
	const struct cluster_settings *settings;
	bool whole;

	if (!r->under_way)
		return (struct rollout_view){.slot = SLOT_ALL};
	settings = cluster_find_generation(c, r->to)->settings;
	whole = settings->surge == WORKERS_MAX && r->scope == SLOT_ALL && !r->fresh;
	return (struct rollout_view){
		.under_way = true,
		.id = r->id,
		.to = r->to,
		.done = r->fresh ? c->ready : r->done,
		.of = r->scope == SLOT_ALL ? c->places : 1,
		.slot = waited_for(c),
		.since = r->since,
		.going_back = r->going_back,
		.drops_ports = r->drops_ports,
		.fresh = r->fresh,
		.unprepared = r->unprepared,
		.whole = whole,
		/* clients try canaries that were asked for */
		.old_alone = whole && r->fleet && (r->canary == 0 || r->unasked),
		.new_alone = whole && !r->fleet,
		.canary = r->canary < c->wanted ? r->canary : c->wanted,
		.baking = r->bake_until != NSEC_NEVER ? canary_due(c) : 0,
		.settings = settings,
	};
}

const char *cluster_state_name(enum cluster_state state)
{
	static const char *const names[] = {
		[CLUSTER_STARTING] = "starting",
		[CLUSTER_RUNNING] = "running",
		[CLUSTER_DEGRADED] = "degraded",
		[CLUSTER_ROLLING] = "rolling",
		[CLUSTER_STOPPING] = "stopping",
		[CLUSTER_STOPPED] = "stopped",
		[CLUSTER_FAILED] = "failed",
	};

	return (size_t)state < COUNT_OF(names) ? names[state] : "unknown";
}

const char *slot_state_name(enum slot_state state)
{
	static const char *const names[] = {
		[SLOT_EMPTY] = "empty",
		[SLOT_STARTING] = "starting",
		[SLOT_READY] = "ready",
		[SLOT_DRAINING] = "draining",
		[SLOT_STOPPING] = "stopping",
		[SLOT_BACKOFF] = "backoff",
		[SLOT_FAILED] = "failed",
		[SLOT_ENDED] = "ended",
		[SLOT_SPARE] = "spare",
		[SLOT_WAITING] = "waiting",
	};

	return (size_t)state < COUNT_OF(names) ? names[state] : "unknown";
}
