/* SPDX-License-Identifier: MIT */
#include "core/cluster.h"

#include "core/canary.h"
#include "core/death.h"
#include "core/internal.h"
#include "core/rollout.h"
#include "core/rollout_request.h"

#include <assert.h>
#include <stdlib.h>

/* Slots looked at in one call; and how many actions a look, and the end of a call,
 * may add. */
#define LOOKS_AT_ONCE 256
#define ROOM_FOR_A_LOOK 20
#define ROOM_FOR_THE_END 8

struct cluster *cluster_new(struct cluster_settings *settings, unsigned wanted, uint64_t seed)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	if (cluster_reserve(c, wanted + settings->spare > 0 ? wanted + settings->spare : 1) == -1) {
		cluster_free(c);
		return NULL;
	}
	c->random = seed;
	c->generation = c->last_generation = 1;
	(void)generations_add(&c->generations, 1, cluster_settings_ref(settings));
	c->wanted = wanted;
	c->places = c->count = c->shrink = wanted + spare_wanted(c);
	return c;
}

void cluster_free(struct cluster *c)
{
	if (c == NULL)
		return;
	if (c->waiting_id != 0) /* else handed over */
		cluster_settings_unref(c->waiting.settings);
	generations_fini(&c->generations);
	free(c->slots);
	free(c->first);
	free(c);
}

int cluster_reserve(struct cluster *c, unsigned count)
{
	uint32_t leaves = 1;
	uint32_t *first;
	struct slot *slots;

	if (count <= c->cap)
		return 0;
	/* one for each worker, the one in force, a rollout's, and that of the next rollout */
	if (generations_reserve(&c->generations, 2 * count + 3) == -1)
		return -1;
	while (leaves < count)
		leaves *= 2;
	first = realloc(c->first, 2 * (size_t)leaves * sizeof(*first));
	if (first == NULL)
		return -1;
	c->first = first;
	slots = realloc(c->slots, count * sizeof(*slots));
	if (slots == NULL)
		return -1;
	c->slots = slots;
	for (; c->cap < count; c->cap++)
		slots[c->cap] = (struct slot){.due = NSEC_NEVER};
	slots_arrange(c, leaves);
	return 0;
}

/* ---- stopping and beginning anew ---- */

static void begin_stop(struct cluster *c)
{
	c->stopping = true;
	cluster_sweep(c);
	rollout_fail_all(c);
}

void cluster_give_up(struct cluster *c, int status)
{
	c->failed = true;
	c->status = status;
	begin_stop(c);
}

void cluster_revive(struct cluster *c)
{
	c->life++;
	c->lived = false;
	c->was_all_ready = false;
	c->stopping = false;
	c->at_once = false;
	c->asked_to_stop = false;
	c->failed = false;
	c->end_reported = false;
	c->status = 0;
	c->ended = c->did = 0;
	c->deaths = 0;
	cluster_sweep(c);
}

static void on_stop(struct cluster *c, const struct event *e)
{
	if (c->end_reported)
		return;
	if (e->at_once || c->asked_to_stop)
		c->at_once = true;
	c->asked_to_stop = true;
	if (c->stopping) {
		cluster_sweep(c);
		return;
	}
	c->status = 0;
	begin_stop(c);
}

static void on_scale(struct cluster *c, const struct event *e)
{
	uint32_t count = e->scale.wanted < c->cap ? e->scale.wanted : c->cap;
	struct report *report;

	if (c->stopping && !c->end_reported)
		return;
	/* what an operator has stopped is started by an operator */
	if (c->stopping && count > 0 && (!c->asked_to_stop || e->scale.why == SCALE_BY_HAND))
		cluster_revive(c);
	report = actions_report(c->out, REPORT_SCALED, 0, 0);
	report->count = count;
	report->scale_why = e->scale.why;
	report->measure = e->scale.measure;
	c->wanted = cluster_is_on_demand(c) ? 0 : count;
	spare_set_places(c);
	rollout_wake(c);
}

/* ---- events about one worker ---- */

/* A worker of the command listens: others must, too (note_lesson()), and one that has ended without
 * that has not done its work. */
static void demand_ports(struct cluster *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->slots[i].life == c->life)
			slot_did(c, &c->slots[i], 0);
	cluster_sweep(c);
}

/* A sign that the worker is ready counts if its settings ask for that sign. */
static void on_sign(struct cluster *c, struct worker *w, const struct event *e)
{
	const struct generation *g = cluster_find_generation(c, w->generation);
	enum ready_mode mode = g->settings->ready;
	bool counts;

	if (e->kind == EVENT_PROVED) {
		counts = mode == READY_PROBE;
	} else if (e->kind == EVENT_LISTENING) {
		if (!g->knows[LESSON_LISTENS])
			demand_ports(c);
		generations_learn(&c->generations, w->generation, LESSON_LISTENS);
		counts = mode == READY_LISTEN ||
			(mode == READY_AUTO && !g->knows[LESSON_SAYS_READY]);
	} else {
		generations_learn(&c->generations, w->generation, LESSON_SAYS_READY);
		counts = mode == READY_AUTO || mode == READY_NOTIFY;
	}
	if (counts)
		(void)slot_tell(c, e->slot, w, ON_READY, NULL);
}

static void on_worker(struct cluster *c, const struct event *e)
{
	struct worker *w = slot_find(c, e->slot, e->worker);
	struct moment more = {.pid = e->pid, .span = e->span, .opens = e->opens};

	if (w == NULL)
		return;
	switch (e->kind) {
	case EVENT_SPAWNED:
		more.span = c->slots[e->slot].lived;
		(void)slot_tell(c, e->slot, w, ON_SPAWNED, &more);
		break;
	case EVENT_SPAWN_FAILED:
		slot_bury(c, e->slot, w, ON_FAILED, &e->ending);
		break;
	case EVENT_READY:
	case EVENT_LISTENING:
	case EVENT_PROVED:
		on_sign(c, w, e);
		break;
	case EVENT_REFUSED:
		(void)slot_tell(c, e->slot, w, ON_REFUSED, NULL);
		break;
	case EVENT_IDLE:
		(void)slot_tell(c, e->slot, w, ON_IDLE, &more);
		break;
	case EVENT_ALIVE:
		(void)slot_tell(c, e->slot, w, ON_ALIVE, NULL);
		break;
	case EVENT_WATCHDOG:
		if (e->span > 0)
			(void)slot_tell(c, e->slot, w, ON_INTERVAL, &more);
		break;
	case EVENT_UNWELL:
		health_unwell(c, e->slot, w, e->why);
		break;
	case EVENT_OUTGROWN:
		health_outgrown(c, e->slot, w, e->why);
		break;
	case EVENT_LEAVING:
		(void)slot_tell(c, e->slot, w, ON_LEAVING, NULL);
		rollout_wake(c);
		break;
	case EVENT_EXTEND:
		(void)slot_tell(c, e->slot, w, ON_EXTEND, &more);
		break;
	case EVENT_DRAINED:
		(void)slot_tell(c, e->slot, w, ON_DRAINED, NULL);
		break;
	case EVENT_BUSY:
		c->slots[e->slot].busy = e->held && w == &c->slots[e->slot].main;
		return;
	case EVENT_GATE:
		(void)slot_tell(
			c, e->slot, w, spare_is_needed(c, e->slot, w) ? ON_PASS : ON_GATE, NULL);
		break;
	case EVENT_LEFTOVERS:
		(void)slot_tell(c, e->slot, w, ON_LEFTOVERS, NULL);
		break;
	case EVENT_EXITED:
		slot_bury(c, e->slot, w, ON_EXIT, &e->ending);
		break;
	default:
		break;
	}
	slot_set_due(c, e->slot, c->now);
}

static void apply_event(struct cluster *c, const struct event *e)
{
	switch (e->kind) {
	case EVENT_TICK:
		break;
	case EVENT_STOP:
		on_stop(c, e);
		break;
	case EVENT_SCALE:
		on_scale(c, e);
		break;
	case EVENT_ROLL:
		rollout_ask(c, e);
		break;
	case EVENT_PREPARED:
		rollout_on_prepared(c, e);
		break;
	case EVENT_ALONE:
		c->alone = e->held;
		break;
	case EVENT_SETTINGS:
		rollout_settings(c, e);
		break;
	case EVENT_LATE:
		c->lost = nsec_add(c->lost, e->span);
		break;
	default:
		on_worker(c, e);
	}
}

/* ---- settling ---- */

/* Remove empty slots at the end that are not wanted. */
static void trim_slots(struct cluster *c)
{
	while (c->count > c->places && c->count > c->shrink) {
		struct slot *s = &c->slots[c->count - 1];

		if (s->main.state != WORKER_NONE || s->other.state != WORKER_NONE)
			break;
		c->count--;
		line_leave(c, s);
		*s = (struct slot){.life = c->life};
		slot_set_due(c, c->count, NSEC_NEVER);
	}
}

static nsec_t first_due(const struct cluster *c)
{
	return c->slots[slot_first(c)].due;
}

/* Settle one slot that needs it; false if no slot does, or none can be now. */
static bool settle_one(struct cluster *c)
{
	/* before a worker is started: that takes time, and a spare serves at once */
	if (spare_fill(c))
		return true;
	if (c->shrink > c->places) {
		(void)slot_settle(c, --c->shrink);
		trim_slots(c);
		return true;
	}
	if (first_due(c) <= c->now) {
		bool done = slot_settle(c, slot_first(c));

		trim_slots(c);
		return done;
	}
	if (line_call(c))
		return true;
	if (c->sweep < c->count) {
		(void)slot_settle(c, c->sweep++);
		trim_slots(c);
		return true;
	}
	return spare_advance(c) || rollout_advance(c) || gate_advance(c);
}

static void settle_slots(struct cluster *c)
{
	const unsigned most = ACTIONS_MAX - ROOM_FOR_A_LOOK - ROOM_FOR_THE_END;

	spare_set_places(c);
	c->more = true;
	for (unsigned looks = 0; looks < LOOKS_AT_ONCE; looks++) {
		if (c->out->count > most)
			return;
		if (!settle_one(c)) {
			c->more = false;
			return;
		}
	}
}

/* Is no slot left to be settled at this moment? */
static bool is_quiet(const struct cluster *c)
{
	return !c->more && first_due(c) > c->now;
}

/* ---- the cluster's state ---- */

bool cluster_is_all_ready(const struct cluster *c)
{
	if (c->stopping)
		return false;
	return c->wanted == 0 ||
		(c->ready + c->did > 0 && c->ready + c->did + c->ended >= c->wanted);
}

static enum cluster_state state_now(const struct cluster *c)
{
	if (c->failed)
		return CLUSTER_FAILED;
	if (c->stopping)
		return c->alive > 0 ? CLUSTER_STOPPING : CLUSTER_STOPPED;
	if (c->rollout.under_way && !c->rollout.fresh)
		return CLUSTER_ROLLING;
	if (!c->was_all_ready)
		return CLUSTER_STARTING;
	return c->all_ready ? CLUSTER_RUNNING : CLUSTER_DEGRADED;
}

static void note_all_ready(struct cluster *c)
{
	bool all_ready = cluster_is_all_ready(c);

	if (all_ready && !c->all_ready)
		actions_report(c->out, REPORT_ALL_READY, 0, 0)->count = c->ready + c->did;
	c->all_ready = all_ready;
	c->was_all_ready |= all_ready;
}

/* Did the restart policy let the last slot end? */
static bool is_over(const struct cluster *c)
{
	return !c->stopping && c->wanted > 0 && c->ended >= c->places && c->alive == 0 &&
		(!c->rollout.under_way || c->rollout.fresh);
}

static void note_state(struct cluster *c)
{
	enum cluster_state state;

	if (is_quiet(c) || c->stopping)
		note_all_ready(c);
	if (is_quiet(c) && is_over(c))
		begin_stop(c);
	state = state_now(c);
	/* where no worker lives the stop ends as it begins */
	if (state == CLUSTER_STOPPED && c->state < CLUSTER_STOPPING && c->asked_to_stop)
		actions_report(c->out, REPORT_STATE, 0, 0)->state = CLUSTER_STOPPING;
	if (state != c->state)
		actions_report(c->out, REPORT_STATE, 0, 0)->state = state;
	c->state = state;
	if (!c->stopping || c->alive > 0 || c->end_reported)
		return;
	c->end_reported = true;
	(void)actions_report(c->out, REPORT_ENDED, 0, 0);
}

void cluster_handle(struct cluster *c, const struct event *event, struct actions *out)
{
	out->count = 0;
	c->out = out;
	if (c->now < event->now)
		c->now = event->now;
	c->spawns_left = event->kind == EVENT_TICK ? SPAWNS_AT_ONCE : 0;
	if (event->count > 0 && event->count < c->spawns_left)
		c->spawns_left = event->count;
	apply_event(c, event);
	settle_slots(c);
	note_state(c);
	generations_forget(&c->generations, c->generation, rollout_keeps(c));
	c->out = NULL;
}

nsec_t cluster_next_deadline(const struct cluster *c)
{
	nsec_t due = nsec_min(first_due(c), canary_due(c));

	if (c->more || c->sweep < c->count || c->shrink > c->places)
		return nsec_min(due, c->now);
	return due;
}

/* ---- action ---- */

struct action *actions_add(
	struct actions *out, enum action_kind kind, uint32_t slot, uint64_t worker)
{
	struct action *action;

	assert(out->count < ACTIONS_MAX);
	action = &out->list[out->count++];
	*action = (struct action){.kind = kind, .slot = slot, .worker = worker};
	return action;
}

struct report *actions_report(
	struct actions *out, enum report_kind kind, uint32_t slot, uint64_t worker)
{
	struct action *action = actions_add(out, ACTION_REPORT, slot, worker);

	action->report = (struct report){
		.kind = kind,
		.slot = slot,
		.worker = worker,
		.age = NSEC_NEVER,
		.ready_for = NSEC_NEVER,
		.wait = NSEC_NEVER,
		.span = NSEC_NEVER,
		.took = NSEC_NEVER,
	};
	return &action->report;
}

/* ---- route ---- */

uint32_t cluster_next_in_turn(struct cluster *c, bool first)
{
	uint32_t from = first || c->in_turn >= c->count ? 0 : c->in_turn;

	if (c->ready == 0)
		return SLOT_ALL;
	for (uint32_t looked = 0; looked < c->count; looked++) {
		uint32_t i = (from + looked) % c->count;
		const struct slot *s = &c->slots[i];
		/* the worker that has the slot's place; without one, the worker beside it */
		const struct worker *w = s->main.state != WORKER_NONE ? &s->main : &s->other;

		if (w->state != WORKER_READY)
			continue;
		if (!first)
			c->in_turn = i + 1;
		return i;
	}
	return SLOT_ALL;
}
