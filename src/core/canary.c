/* SPDX-License-Identifier: MIT */
#include "core/canary.h"

#include "core/internal.h"

/* Is it only a guess that a worker of this generation is ready? */
static bool is_guessed(const struct generation *g)
{
	const struct cluster_settings *settings = g->settings;

	switch (settings->ready) {
	case READY_NOTIFY:
		return false;
	case READY_PROBE:
		return settings->ready_probe.kind == PROBE_TCP;
	case READY_AUTO:
		return !g->knows[LESSON_SAYS_READY];
	default:
		return true;
	}
}

/* How long a worker is watched once it is ready. */
static nsec_t watch_time(const struct generation *g)
{
	return is_guessed(g) ? g->settings->stable_after : 0;
}

nsec_t cluster_watch_time(const struct cluster *c)
{
	return watch_time(cluster_in_force(c));
}

static nsec_t bake_time(const struct cluster *c)
{
	const struct generation *g = cluster_find_generation(c, c->rollout.to);

	if (c->rollout.bake != BAKE_AUTO)
		return c->rollout.bake;
	return watch_time(g);
}

nsec_t canary_watch(const struct cluster *c)
{
	const struct generation *g = cluster_find_generation(c, c->rollout.to);

	return c->rollout.bake != 0 ? watch_time(g) : 0;
}

void canary_begin(struct cluster *c, const struct event *asked)
{
	struct rollout *r = &c->rollout;
	const struct cluster_settings *settings = cluster_find_generation(c, r->to)->settings;

	r->bake_until = NSEC_NEVER;
	r->bake = asked->has_bake ? asked->span : settings->bake;
	if (r->scope != SLOT_ALL) {
		/* the settings' bake time is for their canaries */
		if (!asked->has_bake && r->bake != BAKE_AUTO)
			r->bake = 0;
	} else {
		r->fleet = settings->surge == WORKERS_MAX;
		r->canary = asked->has_canary ? asked->count : settings->canary;
		if (r->canary > c->wanted && c->places > c->wanted)
			r->canary = c->wanted; /* a spare is no canary */
	}
	if (r->canary == 0 && bake_time(c) > 0) {
		r->canary = 1;
		r->unasked = true;
	}
	r->wave = r->canary == 0 && r->fleet ? ALL_SLOTS : r->canary;
	r->of_canaries = r->canary > 0;
}

bool canary_is_alone(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;

	return r->of_canaries && (r->unasked || c->alone) && rollout_pace(c, r->to).extra == 0;
}

nsec_t canary_due(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;

	if (!r->under_way || r->bake_until == NSEC_NEVER)
		return NSEC_NEVER;
	return nsec_add(r->bake_until, c->lost);
}

bool canary_is_full(const struct cluster *c)
{
	return c->rollout.wave > 0 && c->rollout.held >= c->rollout.wave;
}

bool canary_is_held(const struct cluster *c, const struct slot *s)
{
	return rollout_has_turned(c, s) && s->step == STEP_HELD && c->rollout.wave > 0;
}

bool canary_is_one(const struct cluster *c, const struct slot *s, const struct worker *w)
{
	return canary_is_held(c, s) && w->generation == c->rollout.to;
}

bool canary_is_on_trial(const struct cluster *c, const struct slot *s, const struct worker *w)
{
	const struct rollout *r = &c->rollout;

	return canary_is_one(c, s, w) ||
		(r->under_way && r->of_canaries && r->wave > 0 && w->generation == r->to);
}

void canary_look(struct cluster *c, struct slot *s)
{
	const struct worker *one = s->other.state != WORKER_NONE ? &s->other : &s->main;
	bool is_ready = (one->state == WORKER_READY || one->state == WORKER_SPARE) &&
		one->generation == c->rollout.to;
	bool has_ended = one->state == WORKER_NONE && s->ended != SLOT_GOES_ON;
	bool proven = s->step == STEP_HELD && (is_ready || has_ended || s->did == c->rollout.to);

	c->rollout.proven += (unsigned)proven - (unsigned)s->proven;
	s->proven = proven;
}

void canary_let_go(struct cluster *c, struct slot *s)
{
	c->rollout.held--;
	c->rollout.extra++;
	s->step = STEP_EXTRA;
	canary_look(c, s);
}

static void begin_to_bake(struct cluster *c)
{
	struct rollout *r = &c->rollout;
	struct report *report = rollout_report(c, REPORT_BAKING, r->id);

	r->bake_until = nsec_add(c->now - c->lost, bake_time(c));
	report->generation = r->to;
	report->count = r->fresh ? c->ready : r->proven;
	report->span = bake_time(c);
}

/* End the wave: each slot then stops its old worker. */
static void end_wave(struct cluster *c)
{
	struct rollout *r = &c->rollout;
	struct report *report;

	if (r->of_canaries && r->held > 0) {
		report = rollout_report(c, REPORT_BAKED, r->id);
		report->generation = r->to;
		report->count = r->proven;
	}
	if (!r->of_canaries)
		r->fleet = false;
	r->of_canaries = false;
	/* of a fleet no old one goes before all new ones are there */
	r->wave = r->fleet ? ALL_SLOTS : 0;
	r->bake_until = NSEC_NEVER;
	cluster_sweep(c);
	rollout_wake(c);
}

/* Has the wave been watched for long enough? */
static bool is_baked(const struct cluster *c)
{
	return c->rollout.bake_until == NSEC_NEVER || canary_due(c) <= c->now;
}

bool canary_advance_fresh(struct cluster *c, bool all_there)
{
	struct rollout *r = &c->rollout;

	if (!all_there)
		r->bake_until = NSEC_NEVER;
	else if (r->bake_until == NSEC_NEVER && c->ready > 0 && bake_time(c) > 0)
		begin_to_bake(c);
	return all_there && is_baked(c);
}

bool canary_advance(struct cluster *c)
{
	struct rollout *r = &c->rollout;

	if (r->wave == 0)
		return false;
	/* are all new workers of the wave there, and ready? */
	if ((r->held < r->wave && r->turned < rollout_slots(c)) || r->proven != r->held) {
		r->bake_until = NSEC_NEVER;
		return false;
	}
	if (r->of_canaries && r->held > 0 && r->bake_until == NSEC_NEVER && bake_time(c) > 0)
		begin_to_bake(c);
	if (!is_baked(c))
		return false;
	end_wave(c);
	return true;
}
