/* SPDX-License-Identifier: MIT */
#include "core/rollout.h"

#include "base/scope.h"
#include "core/canary.h"
#include "core/internal.h"

#include <string.h>

bool rollout_has_turned(const struct cluster *c, const struct slot *s)
{
	return c->rollout.under_way && !c->rollout.fresh && s->turn == c->rollout.id;
}

bool rollout_replaces(const struct cluster *c, const struct worker *w)
{
	return c->rollout.going_back ? slot_is_rejected(c, w) : w->generation != c->rollout.to;
}

unsigned rollout_slots(const struct cluster *c)
{
	if (c->rollout.scope == SLOT_ALL)
		return c->places;
	return c->rollout.scope < c->places ? 1 : 0;
}

void rollout_wake(struct cluster *c)
{
	c->rollout.pass = 0;
	c->rollout.busy_too = false;
	c->rollout.cursor = 0;
	c->rollout.at_end = false;
}

/* ---- beginning and ending ---- */

void rollout_begin(struct cluster *c, unsigned id, const struct event *asked, unsigned like)
{
	unsigned number = ++c->last_generation;
	struct generation *added = generations_add(&c->generations, number, asked->settings);
	const struct generation *from = cluster_find_generation(c, like);
	struct report *report;

	if (asked->command_changed) {
		added->command = ++c->last_command;
		/* whatever the command, old listeners have to be listened on again */
		added->knows[LESSON_LISTENS] = from->knows[LESSON_LISTENS] && !asked->drops_ports;
	} else {
		added->command = from->command;
		memcpy(added->knows, from->knows, sizeof(added->knows));
		added->knows[LESSON_UNGATED] &= asked->settings == from->settings;
	}
	c->rollout = (struct rollout){
		.under_way = true,
		.id = id,
		.to = number,
		.scope = asked->slot,
		.drops_ports = asked->drops_ports,
		.unprepared = asked->settings->before.text != NULL,
		.since = c->now,
		.last = SLOT_ALL,
	};
	canary_begin(c, asked);
	report = rollout_report(c, REPORT_ROLLOUT_STARTED, id);
	report->generation = number;
	report->count = rollout_slots(c);
}

struct report *rollout_report(struct cluster *c, enum report_kind kind, unsigned id)
{
	struct report *report = actions_report(c->out, kind, 0, 0);

	report->rollout = id;
	return report;
}

void rollout_be_fresh(struct cluster *c)
{
	c->rollout.fresh = true;
	c->rollout.scope = SLOT_ALL;
	c->rollout.canary = c->rollout.wave = 0;
	c->rollout.of_canaries = false;
	c->generation = c->rollout.to;
}

static void begin_waiting(struct cluster *c, unsigned like)
{
	struct event waiting = c->waiting;
	unsigned id = c->waiting_id;

	c->waiting_id = 0;
	if (waiting.settings == NULL) {
		like = c->generation;
		waiting.settings = cluster_settings_ref(cluster_in_force(c)->settings);
	}
	rollout_begin(c, id, &waiting, like);
}

static void finish_rollout(struct cluster *c)
{
	struct report *report = rollout_report(c, REPORT_ROLLOUT_DONE, c->rollout.id);

	report->generation = c->rollout.to;
	report->count = c->rollout.done;
	report->back = c->rollout.going_back;
	report->took = c->now - c->rollout.since;
	c->rollout.from = c->generation;
	c->rollout.done_at = c->now - c->lost;
	c->rollout.watch = canary_watch(c);
	c->generation = c->rollout.to;
	c->rollout.under_way = false;
	if (cluster_is_on_demand(c))
		cluster_sweep(c); /* those of before are to end */
	if (c->waiting_id != 0)
		begin_waiting(c, c->generation);
}

/* Is a worker of a rejected generation serving, which nothing else would stop?  (A
 * worker that is held beside an old one is stopped anyway.) */
static bool must_go_back(const struct cluster *c)
{
	return array_find(g, c->generations.list, c->generations.count,
		       g->serving > g->beside && g->rejected != WHY_ITSELF) != NULL;
}

static void go_back(struct cluster *c)
{
	const struct event asked = {
		.slot = SLOT_ALL,
		.settings = cluster_settings_ref(cluster_in_force(c)->settings),
		.has_canary = true, /* none: these settings have served before */
		.has_bake = true,
	};

	rollout_begin(c, ++c->last_rollout, &asked, c->generation);
	c->rollout.going_back = true;
	c->rollout.unprepared = false; /* these settings have served before */
}

bool rollout_fails_with(const struct cluster *c, const struct worker *w)
{
	const struct rollout *r = &c->rollout;

	if (w->generation != r->to)
		return false;
	return r->under_way ||
		(worker_was_ready(w) && w->serves_since <= r->done_at &&
			c->now - c->lost - w->serves_since < r->watch);
}

unsigned rollout_keeps(struct cluster *c)
{
	struct rollout *r = &c->rollout;

	if (r->under_way)
		return r->to;
	if (c->now - c->lost - r->done_at >= r->watch)
		r->watch = 0;
	return r->watch > 0 ? r->from : c->generation;
}

/* Count the workers that serve now, without those that leave as they are beside an old one. */
static void count_ready(const struct cluster *c, struct report *report)
{
	const struct generation *to = cluster_find_generation(c, c->rollout.to);

	report->count = to->serving - to->beside;
	report->others = c->ready > to->serving ? c->ready - to->serving : 0;
}

/* A rollout has failed: begin the next one, or the way back.  True: the way back. */
static bool begin_next(struct cluster *c)
{
	bool waits = c->waiting_id != 0;
	bool back = (!waits || c->waiting.slot != SLOT_ALL) && !c->rollout.going_back &&
		must_go_back(c);

	if (back)
		go_back(c);
	else if (waits)
		begin_waiting(c, c->rollout.to);
	return back;
}

void rollout_fail(struct cluster *c, uint32_t i, const struct worker *w,
	const struct ending *ending, enum why why)
{
	struct rollout *r = &c->rollout;
	struct report *report = worker_report(c->out, REPORT_ROLLOUT_FAILED, i, w, c->now);
	bool late = !r->under_way;
	bool changed_settings = cluster_find_generation(c, r->to)->settings !=
		cluster_find_generation(c, late ? r->from : c->generation)->settings;

	if (late) {
		report->span = c->now - c->lost - r->done_at;
		report->back = changed_settings;
	}
	if (late && changed_settings)
		c->generation = r->from;
	report->rollout = r->id;
	report->took = c->now - r->since;
	report->generation = r->to;
	if (ending != NULL)
		report->ending = *ending;
	report->why = why;
	report->was_ready = worker_was_ready(w);
	report->beside = worker_is_serving(&c->slots[i].main) && c->slots[i].main.id != w->id;
	count_ready(c, report);
	r->under_way = false;
	r->watch = 0;
	cluster_sweep(c);
	if (c->generation == r->to) { /* the rollout has no way back */
		if (c->waiting_id != 0)
			begin_waiting(c, r->to);
		return;
	}
	cluster_find_generation(c, r->to)->rejected = WHY_ROLL_FAILED;
	report->back |= begin_next(c) || report->count + report->others == 0;
}

void rollout_on_prepared(struct cluster *c, const struct event *e)
{
	struct rollout *r = &c->rollout;
	struct report *report;

	if (e->count != 0 && (!r->under_way || !r->unprepared || r->id != e->count))
		return;
	if (e->why != WHY_BEFORE) {
		r->unprepared = false;
		return;
	}
	if (e->count != 0) {
		report = rollout_report(c, REPORT_ROLLOUT_FAILED, r->id);
		report->slot = SLOT_ALL;
		report->generation = r->to;
		report->why = WHY_BEFORE;
		report->took = c->now - r->since;
		count_ready(c, report);
		r->under_way = false;
	}
	if (e->count != 0 && !r->fresh) {
		(void)begin_next(c);
	} else if (e->count != 0 && c->waiting_id != 0) {
		begin_waiting(c, r->to);
		rollout_be_fresh(c); /* no worker is there yet */
	} else if (!c->stopping) {
		cluster_give_up(c, 1);
	}
}

void rollout_fail_by_stop(struct cluster *c, unsigned id, uint32_t slot)
{
	struct report *report = rollout_report(c, REPORT_ROLLOUT_FAILED, id);

	report->why = WHY_STOP;
	report->slot = slot;
	if (id == c->rollout.id)
		report->took = c->now - c->rollout.since;
}

void rollout_fail_all(struct cluster *c)
{
	if (c->rollout.under_way)
		rollout_fail_by_stop(
			c, c->rollout.id, c->rollout.fresh ? SLOT_ALL : c->rollout.last);
	c->rollout.under_way = false;
	if (c->waiting_id == 0)
		return;
	rollout_fail_by_stop(c, c->waiting_id, SLOT_ALL);
	cluster_settings_unref(c->waiting.settings);
	c->waiting_id = 0;
}

/* ---- one step after the other ---- */

static void release_step(struct cluster *c, struct slot *s)
{
	if (s->step == STEP_EXTRA)
		c->rollout.extra--;
	else if (s->step == STEP_FEWER)
		c->rollout.fewer--;
	else if (s->step == STEP_HELD)
		c->rollout.held--;
	s->step = STEP_NONE;
	canary_look(c, s);
}

void rollout_look(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	struct report *report;

	if (!rollout_has_turned(c, s))
		return;
	canary_look(c, s);
	if (s->step == STEP_NONE || s->step == STEP_HELD || s->other.state != WORKER_NONE)
		return;
	if (s->ended == SLOT_GOES_ON && s->did != c->rollout.to &&
		((s->main.state != WORKER_READY && s->main.state != WORKER_SPARE) ||
			s->main.generation != c->rollout.to))
		return;
	release_step(c, s);
	backoff_reset(&s->backoff);
	backoff_reset(&s->mends);
	c->rollout.done++;
	report = rollout_report(c, REPORT_ROLLOUT_STEP, c->rollout.id);
	report->slot = i;
	report->worker = s->main.id;
	report->count = c->rollout.done;
	report->others = rollout_slots(c);
}

void rollout_drop_slot(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (!rollout_has_turned(c, s))
		return;
	c->rollout.turned--;
	if (s->step == STEP_NONE)
		c->rollout.done--;
	release_step(c, s);
	s->turn = 0;
}

/* Do enough workers serve that an old one can go?  Workers that will replace the one
 * beside them do not count. */
static bool is_surplus(const struct cluster *c, unsigned serving)
{
	return serving - cluster_find_generation(c, c->rollout.to)->beside > c->wanted;
}

struct pace rollout_pace(const struct cluster *c, unsigned generation)
{
	const struct cluster_settings *settings = cluster_find_generation(c, generation)->settings;
	bool alone = c->alone && c->places <= 1 && settings->max_unavailable > 0;
	struct pace pace = {.extra = settings->surge, .fewer = settings->max_unavailable};

	if (pace.extra == COUNT_AUTO)
		pace.extra = !alone;
	if (pace.fewer == COUNT_AUTO)
		pace.fewer = pace.extra == 0;
	if (pace.extra == 0 && pace.fewer == 0)
		pace.extra = 1;
	return pace;
}

bool cluster_heeds_alone(const struct cluster *c)
{
	const struct cluster_settings *settings = cluster_next_settings(c);

	return c->places == 1 && settings->surge == COUNT_AUTO && settings->max_unavailable > 0;
}

/* How many steps may be under way at a time. */
static unsigned steps_at_once(struct pace pace)
{
	return pace.extra > pace.fewer ? pace.extra : pace.fewer;
}

/*
 * Let a spare of the new generation serve in the place of the slot's old worker,
 * which is stopped, and whose successor becomes the next spare.  True: a spare
 * was released.
 */
static bool take_spare(struct cluster *c, const struct slot *s)
{
	const struct rollout *r = &c->rollout;

	return s->main.state == WORKER_READY && r->wave == 0 && c->spares > 0 &&
		!is_surplus(c, c->ready + c->released) &&
		r->extra + r->fewer < steps_at_once(rollout_pace(c, r->to)) &&
		spare_release(c, r->to);
}

bool rollout_may_miss(const struct cluster *c, const struct slot *s, struct pace pace)
{
	return s->main.state != WORKER_READY || c->ready + c->ended + pace.fewer > c->wanted;
}

/* The kind of step that may be taken at this slot now, if any. */
static enum slot_step choose_step(const struct cluster *c, const struct slot *s)
{
	const struct rollout *r = &c->rollout;
	struct pace pace = rollout_pace(c, r->to);
	bool is_empty = s->main.state == WORKER_NONE;
	bool may_go = rollout_may_miss(c, s, pace);

	if (r->wave > 0)
		return canary_is_full(c) || (canary_is_alone(c) && !may_go) ? STEP_NONE : STEP_HELD;
	if (s->main.state == WORKER_READY && is_surplus(c, c->ready + c->released))
		return is_surplus(c, c->ready) && r->extra + r->fewer < steps_at_once(pace)
			? STEP_FEWER
			: STEP_NONE;
	if (r->extra < pace.extra && (is_empty || c->alive < c->places + pace.extra))
		return STEP_EXTRA;
	if (r->fewer < pace.fewer && may_go)
		return STEP_FEWER;
	return STEP_NONE;
}

/* Begin the slot's step, if that is possible now. */
static bool begin_step(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	enum slot_step step = choose_step(c, s);

	if (step == STEP_NONE)
		return false;
	/* else the slot would lose its wait, should the rollout fail until then, or
	 * its worker would go long before the next one may start */
	if ((s->main.state == WORKER_NONE || step == STEP_FEWER) && line_holds(c, i, c->rollout.to))
		return false;
	if (s->main.state == WORKER_NONE && c->spawns_left == 0) {
		slot_set_due(c, i, c->now);
		return false;
	}
	s->turn = c->rollout.id;
	s->step = step;
	s->proven = false;
	c->rollout.turned++;
	c->rollout.last = i;
	if (step == STEP_EXTRA)
		c->rollout.extra++;
	else if (step == STEP_FEWER)
		c->rollout.fewer++;
	else
		c->rollout.held++;
	if (s->ended != SLOT_GOES_ON) {
		s->ended = SLOT_GOES_ON;
		c->ended--;
	}
	s->retry = c->now;
	return true;
}

void rollout_offer(struct cluster *c, uint32_t i)
{
	const struct rollout *r = &c->rollout;

	if (r->under_way && !r->fresh && !r->unprepared &&
		(r->scope == SLOT_ALL || r->scope == i) && c->slots[i].other.state == WORKER_NONE &&
		!rollout_has_turned(c, &c->slots[i]))
		(void)begin_step(c, i);
}

static void turn_silently(struct cluster *c, struct slot *s)
{
	s->turn = c->rollout.id;
	s->step = STEP_NONE;
	s->proven = false;
	c->rollout.turned++;
	c->rollout.done++;
}

/* Would a canary in that slot be a spare, which serves no client? */
static bool would_be_spare(const struct cluster *c, const struct slot *s)
{
	return c->rollout.of_canaries && c->rollout.wave > 0 && s->main.state != WORKER_READY &&
		(s->main.state == WORKER_SPARE ||
			(c->places > c->wanted && c->ready >= c->wanted + c->rollout.proven));
}

static bool is_candidate(const struct cluster *c, const struct slot *s)
{
	const struct rollout *r = &c->rollout;

	if (rollout_has_turned(c, s))
		return false;
	if (s->other.state != WORKER_NONE || would_be_spare(c, s))
		return false;
	if (s->main.state == WORKER_NONE)
		return r->pass == 0;
	if (worker_is_going(&s->main))
		return false;
	if (r->pass == 0)
		return s->main.state != WORKER_READY;
	return s->main.generation == r->pass && (r->busy_too || !s->busy);
}

/* The cursor has seen all slots: go on with busy slots, or with the next generation. */
static bool next_pass(struct cluster *c)
{
	struct rollout *r = &c->rollout;

	r->cursor = 0;
	r->busy_too = r->pass != 0 && !r->busy_too;
	if (r->busy_too)
		return true;
	r->pass = generations_next(&c->generations, r->pass);
	r->at_end = r->pass == 0;
	return !r->at_end;
}

static bool turn_and_settle(struct cluster *c, uint32_t i)
{
	if (!begin_step(c, i))
		return false;
	(void)slot_settle(c, i);
	return true;
}

/* Are all workers ready that will be? */
static bool is_there(const struct cluster *c)
{
	return cluster_is_all_ready(c) || c->ended >= c->places;
}

bool rollout_advance(struct cluster *c)
{
	struct rollout *r = &c->rollout;
	struct slot *s;

	if (!r->under_way || r->unprepared)
		return false;
	if (r->fresh) {
		if (!canary_advance_fresh(c, is_there(c)))
			return false;
		finish_rollout(c);
		return true;
	}
	if (canary_advance(c))
		return true;
	if (r->turned >= rollout_slots(c) && r->extra + r->fewer + r->held == 0 &&
		(r->scope != SLOT_ALL || is_there(c))) {
		finish_rollout(c);
		return true;
	}
	if (r->scope != SLOT_ALL) {
		s = &c->slots[r->scope];
		return !rollout_has_turned(c, s) && s->other.state == WORKER_NONE &&
			!worker_is_going(&s->main) && turn_and_settle(c, r->scope);
	}
	if (r->at_end || canary_is_full(c))
		return false;
	if (r->cursor >= c->places)
		return next_pass(c);
	s = &c->slots[r->cursor];
	if (is_candidate(c, s)) {
		if (s->main.state != WORKER_NONE && !rollout_replaces(c, &s->main))
			turn_silently(c, s);
		else if (take_spare(c, s))
			return true;
		else if (!turn_and_settle(c, r->cursor))
			return false;
	}
	r->cursor++;
	return true;
}
