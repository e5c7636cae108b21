/* SPDX-License-Identifier: MIT */
#include "core/slot.h"

#include "core/canary.h"
#include "core/death.h"
#include "core/internal.h"
#include "core/rollout.h"

#include <assert.h>

/* Take a worker out of the cluster's counters, or put it in. */
static void count_worker(struct cluster *c, uint32_t i, const struct worker *w, int by)
{
	bool beside = w == &c->slots[i].other;
	struct generation *g;

	if (w->state == WORKER_NONE)
		return;
	g = cluster_find_generation(c, w->generation);
	assert(g != NULL);
	c->alive += (unsigned)by;
	if (w->state == WORKER_STARTING && w->released)
		c->released += (unsigned)by;
	if (w->state == WORKER_SPARE)
		c->spares += (unsigned)by;
	g->workers += (unsigned)by;
	if (line_waits_for(w))
		g->starting += (unsigned)by;
	if (worker_is_serving(w))
		g->serving += (unsigned)by;
	if (worker_is_serving(w) && beside)
		g->beside += (unsigned)by;
	if (w->state == WORKER_READY)
		c->ready += (unsigned)by;
	if (w->state == WORKER_READY && w->unfit != WHY_ITSELF)
		c->unfit += (unsigned)by;
}

struct worker *slot_find(struct cluster *c, uint32_t i, uint64_t id)
{
	struct slot *s;

	if (i >= c->count)
		return NULL;
	s = &c->slots[i];
	if (s->main.state != WORKER_NONE && s->main.id == id)
		return &s->main;
	if (s->other.state != WORKER_NONE && s->other.id == id)
		return &s->other;
	return NULL;
}

bool slot_tell(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct moment *more)
{
	const struct generation *g = cluster_find_generation(c, w->generation);
	bool had_been_ready = worker_was_ready(w);
	struct moment at = {0};
	bool listed;

	if (more != NULL)
		at = *more;
	at.now = c->now;
	at.lost = c->lost;
	at.slot = i;
	at.settings = g->settings;
	at.says_ready = g->knows[LESSON_SAYS_READY];
	at.opens &= !g->knows[LESSON_SILENT];
	at.out = c->out;

	if ((event == ON_READY || event == ON_PROVEN) && spare_awaits_gate(c, i, w)) {
		/* no worker of its command can be held back */
		(void)worker_report(c->out, REPORT_NO_SPARE, i, w, c->now);
		generations_learn(&c->generations, w->generation, LESSON_UNGATED);
	}
	count_worker(c, i, w, -1);
	listed = worker_handle(w, event, &at);
	count_worker(c, i, w, 1);
	if (!listed && (c->surprises[w->state] & (UINT32_C(1) << event)) == 0) {
		c->surprises[w->state] |= UINT32_C(1) << event;
		(void)actions_report(c->out, REPORT_SURPRISE, i, w->id);
	}
	if (listed && event == ON_PROVEN && at.settings->ready == READY_AUTO && !w->said)
		generations_learn(&c->generations, w->generation, LESSON_SILENT);
	if (!had_been_ready && worker_was_ready(w)) {
		c->ever_ready = true;
		c->lived = true;
		c->slots[i].early = 0;
		slot_did(c, &c->slots[i], 0);
		w->age_share = (int)(random_next(&c->random) % 201) - 100;
	}
	return listed;
}

bool cluster_empties(const struct cluster *c, unsigned generation)
{
	const struct generation *g = cluster_find_generation(c, generation);

	return g != NULL && g->settings->drain_timeout > 0 &&
		(g->settings->drain == DRAIN_AUTO || g->settings->drain == DRAIN_QUIET);
}

/*
 * Is the worker drained before its stop signal?  A worker that is not ready may
 * serve already, by sockets that all share.  But one that was not ready in time
 * and is alone would only be missing for longer.
 */
static bool is_drained(const struct cluster *c, uint32_t i, const struct worker *w, enum why why)
{
	if (w->state == WORKER_ASKED || w->state == WORKER_SPARE ||
		(why == WHY_START_TIMEOUT &&
			(w == &c->slots[i].main || !worker_is_serving(&c->slots[i].main))))
		return false;
	return cluster_is_on_demand(c) || cluster_empties(c, w->generation);
}

void slot_stop(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	const struct generation *g;
	struct moment at = {.why = why};
	enum worker_event event = ON_STOP;

	/* a connection may have less time from now on */
	if (w->state == WORKER_NONE ||
		(worker_is_going(w) && !(w->state == WORKER_DRAINING && cluster_is_on_demand(c))))
		return;
	g = cluster_find_generation(c, w->generation);
	if (is_drained(c, i, w, why))
		event = ON_DRAIN;
	else if (worker_is_serving(w) && g->settings->drain != DRAIN_OFF)
		at.span = g->settings->drain_timeout;
	(void)slot_tell(c, i, w, event, &at);
}

static void kill_worker(struct cluster *c, uint32_t i, struct worker *w)
{
	struct moment at = {.why = WHY_STOP};

	if (w->state != WORKER_NONE && w->state != WORKER_KILLED && w->state != WORKER_UNWANTED)
		(void)slot_tell(c, i, w, ON_KILL, &at);
}

/* If a worker of the command was seen to listen, before this one was born or since,
 * this one is not ready by time alone, unless it has `said` that it is ready. */
static void note_lesson(const struct cluster *c, struct worker *w)
{
	const struct generation *g;

	if (w->state != WORKER_STARTING || w->proven_at == NSEC_NEVER || w->said)
		return;
	g = cluster_find_generation(c, w->generation);
	if (g->knows[LESSON_LISTENS] && g->settings->ready == READY_AUTO)
		w->proven_at = NSEC_NEVER;
}

/* Do what a worker's own deadline asks for, if it has come. */
static void handle_due(struct cluster *c, uint32_t i, struct worker *w)
{
	static const struct ending unknown = {.kind = ENDING_NONE};
	const struct generation *g;
	enum worker_event event;

	/* Other slots wait no longer for a worker that takes so long to start (internal.h). */
	if (line_waits_until(w) <= c->now) {
		count_worker(c, i, w, -1);
		w->slow = true;
		count_worker(c, i, w, 1);
	}
	note_lesson(c, w);
	if (worker_due(w, c->lost) > c->now)
		return;
	if (w->state == WORKER_READY) {
		health_missed(c, i, w);
		return;
	}
	if (w->state == WORKER_KILLED) {
		slot_bury(c, i, w, ON_DEADLINE, &unknown);
		return;
	}
	g = cluster_find_generation(c, w->generation);
	event = worker_due_event(w, g->settings);
	if (event == ON_PROVEN && g->settings->ready == READY_ALIVE && w->proven_at < w->deadline &&
		c->places > c->wanted && spare_awaits_gate(c, i, w)) {
		/* being alive does not say that the worker will not listen yet */
		w->proven_at = w->deadline;
		w->said = true;
		return;
	}
	(void)slot_tell(c, i, w, event, NULL);
	if (w->state == WORKER_STARTING && event == ON_DEADLINE)
		slot_stop(c, i, w, WHY_START_TIMEOUT);
	if (w->why == WHY_START_TIMEOUT && c->rollout.under_way && w->generation == c->rollout.to)
		rollout_fail(c, i, w, NULL, w->why);
}

bool slot_spawn(struct cluster *c, uint32_t i, struct worker *place, unsigned generation)
{
	struct action *action;

	if (line_holds(c, i, generation)) {
		line_join(c, i);
		return true;
	}
	if (c->spawns_left == 0)
		return false;
	c->spawns_left--;
	worker_init(place, ++c->last_worker, generation);
	count_worker(c, i, place, 1);
	action = actions_add(c->out, ACTION_SPAWN, i, place->id);
	action->generation = generation;
	action->settings = cluster_find_generation(c, generation)->settings;
	return true;
}

static void leave_cluster(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	rollout_drop_slot(c, i);
	gate_shut(c, s);
	slot_did(c, s, 0);
	if (i >= c->places && s->ended != SLOT_GOES_ON) {
		s->ended = SLOT_GOES_ON;
		c->ended--;
	}
	if (c->at_once) {
		kill_worker(c, i, &s->main);
		kill_worker(c, i, &s->other);
		return;
	}
	slot_stop(c, i, &s->main, WHY_STOP);
	slot_stop(c, i, &s->other, WHY_STOP);
}

bool slot_is_rejected(const struct cluster *c, const struct worker *w)
{
	return w->state != WORKER_NONE &&
		cluster_find_generation(c, w->generation)->rejected != WHY_ITSELF;
}

/* Starting workers of a generation that has failed are stopped.  A worker that
 * serves beside an old one is stopped, too, but not before the old one serves. */
static void remove_rejected(struct cluster *c, uint32_t i, struct worker *w)
{
	const struct slot *s = &c->slots[i];
	bool spare = w == &s->other && (s->main.state == WORKER_READY || s->ended != SLOT_GOES_ON);

	if (slot_is_rejected(c, w) && (worker_is_coming(w) || w->state == WORKER_SPARE || spare))
		slot_stop(c, i, w, cluster_find_generation(c, w->generation)->rejected);
}

/* A successor takes the place once it is ready, or once the place is free. */
static void promote_successor(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	struct worker old = s->main;
	bool held = canary_is_held(c, s);

	if (s->other.state == WORKER_NONE || worker_is_going(&s->other) ||
		slot_is_rejected(c, &s->other))
		return;
	/* a spare has the right to the place of a worker that does not serve */
	if ((old.state != WORKER_NONE || held) && !worker_is_serving(&s->other) &&
		(s->other.state != WORKER_SPARE || worker_is_serving(&old)))
		return;
	if (old.state != WORKER_NONE && held)
		return;
	count_worker(c, i, &s->other, -1);
	count_worker(c, i, &s->main, -1);
	s->main = s->other;
	s->other = old;
	s->busy = false;
	count_worker(c, i, &s->other, 1);
	count_worker(c, i, &s->main, 1);
	s->mend_at = 0;
	slot_stop(c, i, &s->other,
		s->gate != GATE_SHUT && old.unfit != WHY_ITSELF ? old.unfit : WHY_ROLL);
}

unsigned slot_generation(const struct cluster *c, const struct slot *s)
{
	/* a new worker is there already: the other one belongs to the old generation */
	if (s->other.state != WORKER_NONE && canary_is_one(c, s, &s->other))
		return c->generation;
	return rollout_has_turned(c, s) ? c->rollout.to : c->generation;
}

/* A rollout has come to the slot, and an old worker has the place: start its step. */
static bool replace_old(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (!rollout_has_turned(c, s) || s->other.state != WORKER_NONE ||
		s->main.state == WORKER_NONE || worker_is_going(&s->main) ||
		!rollout_replaces(c, &s->main))
		return true;
	if (s->step != STEP_FEWER &&
		!(s->step == STEP_HELD && canary_is_alone(c) &&
			rollout_may_miss(c, s, rollout_pace(c, c->rollout.to))))
		return slot_spawn(c, i, &s->other, c->rollout.to);
	slot_stop(c, i, &s->main, WHY_ROLL);
	return true;
}

static bool fill_place(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->main.state == WORKER_NONE)
		rollout_offer(c, i);
	if (s->main.state != WORKER_NONE || s->ended != SLOT_GOES_ON || s->retry > c->now)
		return true;
	s->mend_at = 0;
	return slot_spawn(c, i, &s->main, slot_generation(c, s));
}

/* ---- which is due first ---- */

/* Of two slots; of equals the lower one. */
static uint32_t earlier(const struct cluster *c, uint32_t a, uint32_t b)
{
	return b < c->cap && c->slots[b].due < c->slots[a].due ? b : a;
}

void slots_arrange(struct cluster *c, uint32_t leaves)
{
	c->leaves = leaves;
	for (uint32_t i = 0; i < leaves; i++)
		c->first[leaves + i] = i;
	for (uint32_t n = leaves; --n > 0;)
		c->first[n] = earlier(c, c->first[2 * n], c->first[2 * n + 1]);
}

uint32_t slot_first(const struct cluster *c)
{
	return c->first[1];
}

void slot_set_due(struct cluster *c, uint32_t i, nsec_t due)
{
	c->slots[i].due = due;
	for (uint32_t n = (c->leaves + i) / 2; n > 0; n /= 2)
		c->first[n] = earlier(c, c->first[2 * n], c->first[2 * n + 1]);
}

/* Set the time of the next look at the slot. */
static void set_due(struct cluster *c, uint32_t i, bool done)
{
	const struct slot *s = &c->slots[i];
	nsec_t due = nsec_min(worker_due(&s->main, c->lost), worker_due(&s->other, c->lost));

	due = nsec_min(due, line_waits_until(&s->main));
	due = nsec_min(due, line_waits_until(&s->other));
	due = nsec_min(due, health_due(&s->main, c->lost));
	due = nsec_min(due, health_due(&s->other, c->lost));
	if (cluster_wants(c, i))
		due = nsec_min(due, gate_due(c, s));
	if (cluster_wants(c, i) && s->main.state == WORKER_NONE && s->ended == SLOT_GOES_ON &&
		s->waits == 0)
		due = nsec_min(due, s->retry);
	slot_set_due(c, i, done ? due : c->now);
}

static void forget_older_life(struct cluster *c, struct slot *s)
{
	if (s->life == c->life)
		return;
	s->life = c->life;
	s->did = 0;
	s->ended = SLOT_GOES_ON;
	s->retry = 0;
	s->mend_at = 0;
	backoff_reset(&s->backoff);
	backoff_reset(&s->mends);
}

bool slot_settle(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	bool done = true;

	c->slot_waits = false;
	forget_older_life(c, s);
	handle_due(c, i, &s->main);
	handle_due(c, i, &s->other);
	health_look(c, i, &s->main);
	health_look(c, i, &s->other);
	if (cluster_wants(c, i)) {
		remove_rejected(c, i, &s->main);
		remove_rejected(c, i, &s->other);
		if (s->step == STEP_HELD && rollout_has_turned(c, s) && c->rollout.wave == 0)
			canary_let_go(c, s);
		spare_settle(c, i);
		promote_successor(c, i);
		done = replace_old(c, i) && fill_place(c, i);
		gate_settle(c, i);
		rollout_look(c, i);
	} else if (c->stopping || !cluster_is_on_demand(c)) {
		leave_cluster(c, i);
	} else if (s->main.generation != c->generation) {
		slot_stop(c, i, &s->main, WHY_ROLL);
	}
	if (done && !c->slot_waits)
		line_leave(c, s);
	set_due(c, i, done);
	return done;
}

/* ---- backoff ---- */

/* A backoff-min of 0 must not become a busy loop. */
#define LEAST_DELAY MSEC

#define SHORTAGE_LEAST (500 * MSEC)

/* A life of this length ends a loop of deaths. */
#define FORGET_AFTER MINUTE

/* No longer than backoff-max, together with the jitter. */
static nsec_t with_jitter(nsec_t delay, const struct cluster_settings *settings, uint64_t *random)
{
	nsec_t per_cent = (nsec_t)settings->backoff_jitter;
	nsec_t most = settings->backoff_max / (100 + per_cent) * 100;
	nsec_t spread = nsec_min(delay, most) / 100 * per_cent;
	uint64_t range = 2 * (uint64_t)spread + 1;

	delay = nsec_min(delay, most);
	return delay - spread + (nsec_t)(random_next(random) % range);
}

static nsec_t double_delay(nsec_t delay, const struct cluster_settings *settings)
{
	nsec_t least = settings->backoff_min;
	nsec_t most = settings->backoff_max;

	if (least < LEAST_DELAY)
		least = LEAST_DELAY;
	if (delay < least / 2)
		return least;
	return delay > most / 2 ? most : 2 * delay;
}

nsec_t backoff_next(struct backoff *b, const struct cluster_settings *settings, bool was_ready,
	nsec_t ready_for, uint64_t *random)
{
	if (was_ready && ready_for >= FORGET_AFTER && ready_for >= settings->stable_after)
		backoff_reset(b);
	if (was_ready && !b->forgiven) {
		b->delay = 0;
		b->forgiven = true;
		return 0;
	}
	b->delay = double_delay(b->delay, settings);
	return with_jitter(b->delay, settings, random);
}

nsec_t backoff_of_shortage(
	const struct cluster_settings *settings, uint32_t slots, uint64_t *random)
{
	nsec_t delay = slots * MSEC;

	if (delay < SHORTAGE_LEAST)
		delay = SHORTAGE_LEAST;
	return with_jitter(delay, settings, random);
}

void backoff_reset(struct backoff *b)
{
	*b = (struct backoff){0};
}
