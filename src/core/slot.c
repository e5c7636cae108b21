/* SPDX-License-Identifier: MIT */
#include "core/slot.h"

#include "core/inside.h"

#include <assert.h>

/* The memory of a process that the OOM killer ended is freed by a thread of the
 * kernel (oom_reaper), also after its exit was told.  Until then the cgroup is
 * full, and what a worker takes while it starts ends somebody else. */
#define AFTER_OOM (50 * MSEC)

/* Take a worker out of the cluster's counters, or put it in. */
static void count_worker(struct cluster *c, const struct worker *w, int by)
{
	struct generation *g;

	if (w->state == WORKER_NONE)
		return;
	g = cluster_find_generation(c, w->generation);
	assert(g != NULL);
	c->alive += (unsigned)by;
	g->workers += (unsigned)by;
	if (worker_is_serving(w))
		g->serving += (unsigned)by;
	if (w->state == WORKER_READY)
		c->ready += (unsigned)by;
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

static void note_surprise(struct cluster *c, uint32_t i, const struct worker *w,
	enum worker_event event)
{
	uint16_t bit = (uint16_t)(1U << event);

	c->surprised++;
	if ((c->surprises[w->state] & bit) != 0)
		return;
	c->surprises[w->state] |= bit;
	(void)actions_report(c->out, REPORT_SURPRISE, i, w->id);
}

bool slot_tell(struct cluster *c, uint32_t i, struct worker *w,
	enum worker_event event, const struct moment *more)
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
	at.says_ready = g->says_ready;
	at.listens = g->listens;
	at.out = c->out;

	count_worker(c, w, -1);
	listed = worker_handle(w, event, &at);
	count_worker(c, w, 1);
	if (!listed)
		note_surprise(c, i, w, event);
	if (!had_been_ready && worker_was_ready(w)) {
		c->ever_ready = true;
		c->lived = true;
	}
	return listed;
}

/* Does somebody look for the moment of its stop signal? */
static bool is_drained(const struct generation *g)
{
	const struct cluster_settings *settings = g->settings;

	return settings->drain_timeout > 0 &&
		(settings->drain == DRAIN_QUIET ||
			(settings->drain == DRAIN_AUTO && !g->graceful));
}

void slot_stop(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	const struct generation *g;
	struct moment at = {.why = why};
	enum worker_event event = ON_STOP;

	if (w->state == WORKER_NONE || worker_is_going(w))
		return;
	g = cluster_find_generation(c, w->generation);
	if (worker_is_serving(w)) {
		if (is_drained(g))
			event = ON_DRAIN;
		else if (g->settings->drain != DRAIN_OFF)
			at.span = g->settings->drain_timeout;
	}
	(void)slot_tell(c, i, w, event, &at);
}

/* A rollout cannot begin before the workers of a generation are gone: those
 * that were draining then have had their time. */
static void hurry(struct cluster *c, uint32_t i, struct worker *w)
{
	if (w->state == WORKER_DRAINING && w->generation <= c->hurry &&
		w->drain_since <= c->hurry_at)
		(void)slot_tell(c, i, w, ON_DRAINED, NULL);
}

static void kill_worker(struct cluster *c, uint32_t i, struct worker *w)
{
	struct moment at = {.why = WHY_STOP};

	if (w->state != WORKER_NONE && w->state != WORKER_KILLED &&
		w->state != WORKER_UNWANTED)
		(void)slot_tell(c, i, w, ON_KILL, &at);
}

static bool is_success(
	const struct cluster_settings *settings, const struct ending *ending)
{
	return ending->kind == ENDING_EXIT && ending->code >= 0 &&
		cluster_is_success(settings, (unsigned)ending->code);
}

/* Does the restart policy leave the slot empty after this death? */
static bool has_ended(const struct cluster_settings *settings,
	const struct worker *dead, const struct ending *ending)
{
	if (settings->restart == RESTART_ALWAYS)
		return false;
	if (dead->why == WHY_ITSELF && is_success(settings, ending))
		return true;
	if (settings->restart == RESTART_ON_FAILURE)
		return false;
	return ending->kind != ENDING_SPAWN || ending->permanent;
}

static int exit_status(const struct ending *ending)
{
	int status = 1;

	if (ending->kind == ENDING_EXIT)
		status = ending->code;
	else if (ending->kind == ENDING_SIGNAL)
		status = 128 + ending->code;
	else if (ending->kind == ENDING_SPAWN && ending->permanent)
		status = ending->exit_status;
	return status == 0 ? 1 : status;
}

static void end_slot(
	struct cluster *c, uint32_t i, bool well, const struct ending *ending)
{
	struct slot *s = &c->slots[i];

	s->ended = well ? SLOT_ENDED_WELL : SLOT_ENDED_BADLY;
	c->ended++;
	if (!well && c->status == 0)
		c->status = exit_status(ending);
}

/*
 * After the death of a worker: decide when the slot is filled again, and
 * return how long that takes (NSEC_NEVER: it is not for this death that it
 * will be).
 */
static nsec_t plan_next(struct cluster *c, uint32_t i,
	const struct worker *dead, bool was_main, const struct ending *ending)
{
	struct slot *s = &c->slots[i];
	const struct cluster_settings *settings =
		cluster_find_generation(c, dead->generation)->settings;
	bool asked = dead->why != WHY_ITSELF && dead->why != WHY_START_TIMEOUT;
	nsec_t wait;

	if (!was_main || !cluster_wants(c, i))
		return NSEC_NEVER;
	if (asked) {
		s->retry = c->now;
		return 0;
	}
	if (worker_is_coming(&s->other))
		return 0; /* its successor takes the place */
	if (has_ended(settings, dead, ending)) {
		end_slot(c, i,
			dead->why == WHY_ITSELF && is_success(settings, ending),
			ending);
		return NSEC_NEVER;
	}
	wait = backoff_next(&s->backoff, settings, worker_was_ready(dead),
		c->now - dead->ready_at, &c->random);
	if (wait == 0 && ending->out_of_memory)
		wait = AFTER_OOM;
	s->retry = nsec_add(c->now, wait);
	s->restarts++;
	return wait;
}

/* One more unasked death: too many in too short a time? */
static void count_death(struct cluster *c)
{
	const struct cluster_settings *settings = cluster_settings(c);
	unsigned limit = settings->give_up_count;
	struct report *report;
	nsec_t first;

	c->died[c->deaths++ % GIVE_UP_MAX] = c->now;
	if (limit == 0 || c->stopping || c->deaths < limit)
		return;
	if (limit > GIVE_UP_MAX)
		limit = GIVE_UP_MAX;
	first = c->died[(c->deaths - limit) % GIVE_UP_MAX];
	if (c->now - first > settings->give_up_window)
		return;
	report = actions_report(c->out, REPORT_GAVE_UP, 0, 0);
	report->count = limit;
	report->span = settings->give_up_window;
	cluster_give_up(c, 1);
}

static bool is_hopeless(const struct cluster *c, const struct worker *dead,
	const struct ending *ending)
{
	return ending->kind == ENDING_SPAWN && ending->permanent && !c->lived &&
		dead->generation == c->generation;
}

/* What a death means beyond its slot. */
static void mourn(struct cluster *c, uint32_t i, const struct worker *dead,
	const struct ending *ending, nsec_t wait, nsec_t age)
{
	const struct slot *s = &c->slots[i];
	bool new_one =
		c->rollout.under_way && dead->generation == c->rollout.to;

	if (dead->why != WHY_ITSELF && dead->why != WHY_START_TIMEOUT)
		return;
	if (!cluster_wants(c, i))
		return;
	if (is_hopeless(c, dead, ending)) {
		cluster_give_up(c, ending->exit_status);
		return;
	}
	if (new_one && s->ended != SLOT_ENDED_WELL &&
		(!worker_was_ready(dead) ||
			(wait > 0 && wait != NSEC_NEVER &&
				s->backoff.delay > 0)))
		rollout_fail(c, i, dead, ending, dead->why, age);
	if (s->ended == SLOT_GOES_ON)
		count_death(c);
}

static nsec_t age_of(const struct cluster *c, const struct worker *w)
{
	return w->pid == 0 ? 0 : c->now - w->born;
}

static void report_death(struct cluster *c, uint32_t i,
	const struct worker *dead, const struct ending *ending, nsec_t wait)
{
	struct report *report;

	report = actions_report(c->out, REPORT_EXITED, i, dead->id);
	report->pid = dead->pid;
	report->generation = dead->generation;
	report->age = age_of(c, dead);
	report->was_ready = worker_was_ready(dead);
	if (report->was_ready)
		report->ready_for = c->now - dead->ready_at;
	report->why = dead->why;
	report->ending = *ending;
	report->wait = wait;
}

void slot_bury(struct cluster *c, uint32_t i, struct worker *w,
	enum worker_event event, const struct ending *ending)
{
	struct slot *s = &c->slots[i];
	const struct worker dead = *w;
	bool was_main = w == &s->main;
	enum slot_end ended_before = s->ended;
	nsec_t age = age_of(c, w);
	nsec_t wait;

	if (!slot_tell(c, i, w, event, NULL))
		return;
	wait = plan_next(c, i, &dead, was_main, ending);
	if (ending->kind != ENDING_NONE) {
		s->last = *ending;
		s->last_why = dead.why;
		s->last_age = age;
		report_death(c, i, &dead, ending, wait);
	}
	if (s->ended != ended_before)
		(void)actions_report(c->out, REPORT_SLOT_ENDED, i, 0);
	if (c->rollout.at_end || !rollout_has_turned(c, s))
		rollout_wake(c);
	mourn(c, i, &dead, ending, wait, age);
}

/* Do what a worker's own deadline asks for, if it has come. */
static void tick(struct cluster *c, uint32_t i, struct worker *w)
{
	static const struct ending unknown = {.kind = ENDING_NONE};
	const struct generation *g;

	if (worker_due(w, c->lost) > c->now)
		return;
	if (w->state == WORKER_KILLED) {
		slot_bury(c, i, w, ON_DEADLINE, &unknown);
		return;
	}
	g = cluster_find_generation(c, w->generation);
	/* since it was born, another of its command was seen to listen */
	if (w->state == WORKER_STARTING && g->listens &&
		g->settings->ready == READY_AUTO &&
		w->proven_at < w->deadline) {
		w->proven_at = NSEC_NEVER;
		return;
	}
	(void)slot_tell(c, i, w, worker_due_event(w, g->settings), NULL);
	if (w->why == WHY_START_TIMEOUT && c->rollout.under_way &&
		w->generation == c->rollout.to)
		rollout_fail(c, i, w, &unknown, w->why, c->now - w->born);
}

static bool spawn(struct cluster *c, uint32_t i, struct worker *place,
	unsigned generation)
{
	struct action *action;

	if (c->spawns_left == 0)
		return false;
	c->spawns_left--;
	worker_init(place, ++c->last_worker, generation);
	count_worker(c, place, 1);
	action = actions_add(c->out, ACTION_SPAWN, i, place->id);
	action->generation = generation;
	action->settings = cluster_find_generation(c, generation)->settings;
	return true;
}

static void dismiss(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	rollout_drop_slot(c, i);
	if (i >= c->wanted && s->ended != SLOT_GOES_ON) {
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

/* Starting workers of a generation that has failed do not go on. */
static void remove_rejected(struct cluster *c, uint32_t i, struct worker *w)
{
	const struct generation *g;

	if (!worker_is_coming(w))
		return;
	g = cluster_find_generation(c, w->generation);
	if (g->rejected != WHY_ITSELF)
		slot_stop(c, i, w, g->rejected);
}

/* A successor moves in once it is ready, or once the place is free. */
static void promote(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	struct worker old = s->main;

	if (s->other.state == WORKER_NONE || worker_is_going(&s->other))
		return;
	if (old.state != WORKER_NONE && !worker_is_serving(&s->other))
		return;
	s->main = s->other;
	s->other = old;
	slot_stop(c, i, &s->other, WHY_ROLL);
}

/* Its turn has come in a rollout, and an old worker holds the place. */
static bool replace(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (!rollout_has_turned(c, s) || s->other.state != WORKER_NONE ||
		s->main.state == WORKER_NONE || worker_is_going(&s->main) ||
		!rollout_replaces(c, &s->main))
		return true;
	if (s->step == STEP_EXTRA)
		return spawn(c, i, &s->other, c->rollout.to);
	slot_stop(c, i, &s->main, WHY_ROLL);
	return true;
}

static bool fill(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->main.state == WORKER_NONE)
		rollout_offer(c, i);
	if (s->main.state != WORKER_NONE || s->ended != SLOT_GOES_ON ||
		s->retry > c->now)
		return true;
	return spawn(c, i, &s->main,
		rollout_has_turned(c, s) ? c->rollout.to : c->generation);
}

/* Say when to look again. */
static void arm(struct cluster *c, uint32_t i, bool done)
{
	const struct slot *s = &c->slots[i];
	nsec_t due = nsec_min(
		worker_due(&s->main, c->lost), worker_due(&s->other, c->lost));

	if (cluster_wants(c, i) && s->main.state == WORKER_NONE &&
		s->ended == SLOT_GOES_ON)
		due = nsec_min(due, s->retry);
	heap_set(&c->due, i, done ? due : c->now);
}

static void forget_older_life(struct cluster *c, struct slot *s)
{
	if (s->life == c->life)
		return;
	s->life = c->life;
	s->ended = SLOT_GOES_ON;
	s->retry = 0;
	backoff_reset(&s->backoff);
}

bool slot_settle(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];
	bool done = true;

	forget_older_life(c, s);
	tick(c, i, &s->main);
	tick(c, i, &s->other);
	hurry(c, i, &s->main);
	hurry(c, i, &s->other);
	if (cluster_wants(c, i)) {
		remove_rejected(c, i, &s->main);
		remove_rejected(c, i, &s->other);
		promote(c, i);
		done = replace(c, i) && fill(c, i);
		rollout_look(c, i);
	} else {
		dismiss(c, i);
	}
	arm(c, i, done);
	return done;
}
