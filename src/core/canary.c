/* SPDX-License-Identifier: MIT */
#include "core/canary.h"

#include "core/inside.h"

void canary_begin(struct cluster *c, const struct rollout_request *request)
{
	struct rollout *r = &c->rollout;
	const struct cluster_settings *settings =
		cluster_find_generation(c, r->to)->settings;

	r->bake_until = NSEC_NEVER;
	if (r->scope != SLOT_ALL)
		return;
	r->fleet = settings->surge >= WORKERS_MAX;
	r->canary = settings->canary;
	r->bake = settings->bake;
	if (request->has_canary) {
		r->canary = request->canary;
		r->bake = request->bake;
	}
	r->wave = r->canary;
	r->of_canaries = r->canary > 0;
}

nsec_t canary_due(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;

	if (!r->under_way || r->wave == 0 || r->bake_until == NSEC_NEVER)
		return NSEC_NEVER;
	return nsec_add(r->bake_until, c->lost);
}

bool canary_is_full(const struct cluster *c)
{
	return c->rollout.wave > 0 && c->rollout.held >= c->rollout.wave;
}

bool canary_is_held(const struct cluster *c, const struct slot *s)
{
	return rollout_has_turned(c, s) && s->step == STEP_HELD &&
		c->rollout.wave > 0;
}

bool canary_is_one(
	const struct cluster *c, const struct slot *s, const struct worker *w)
{
	return canary_is_held(c, s) && w->generation == c->rollout.to;
}

bool canary_is_on_trial(
	const struct cluster *c, const struct slot *s, const struct worker *w)
{
	const struct rollout *r = &c->rollout;

	return canary_is_one(c, s, w) ||
		(r->under_way && r->of_canaries && r->wave > 0 &&
			w->generation == r->to);
}

void canary_look(struct cluster *c, struct slot *s)
{
	const struct worker *one =
		s->other.state != WORKER_NONE ? &s->other : &s->main;
	bool proven = s->step == STEP_HELD && one->state == WORKER_READY &&
		one->generation == c->rollout.to;

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

/* The new ones are there, and ready. */
static bool is_complete(const struct cluster *c)
{
	const struct rollout *r = &c->rollout;

	return (r->held >= r->wave || r->turned >= rollout_slots(c)) &&
		r->proven == r->held;
}

static void begin_to_bake(struct cluster *c)
{
	struct rollout *r = &c->rollout;
	struct report *report;

	r->bake_until = nsec_add(c->now - c->lost, r->bake);
	report = actions_report(c->out, REPORT_BAKING, 0, 0);
	report->rollout = r->id;
	report->generation = r->to;
	report->count = r->proven;
	report->span = r->bake;
}

/* The old ones go now: each slot sees to its own. */
static void release(struct cluster *c)
{
	struct rollout *r = &c->rollout;
	struct report *report;

	if (r->of_canaries && r->held > 0) {
		report = actions_report(c->out, REPORT_BAKED, 0, 0);
		report->rollout = r->id;
		report->generation = r->to;
		report->count = r->proven;
	}
	if (!r->of_canaries)
		r->fleet = false;
	r->of_canaries = false;
	r->wave = 0;
	r->bake_until = NSEC_NEVER;
	cluster_sweep(c);
	rollout_wake(c);
}

bool canary_advance(struct cluster *c)
{
	struct rollout *r = &c->rollout;

	if (r->wave == 0) {
		if (!r->fleet || r->held > 0)
			return false;
		r->wave = ALL_SLOTS;
		rollout_wake(c);
		return true;
	}
	if (!is_complete(c)) {
		r->bake_until = NSEC_NEVER;
		return false;
	}
	if (r->of_canaries && r->bake > 0 && r->held > 0 &&
		r->bake_until == NSEC_NEVER)
		begin_to_bake(c);
	if (r->bake_until != NSEC_NEVER && canary_due(c) > c->now)
		return false;
	release(c);
	return true;
}
