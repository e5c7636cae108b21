/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define UNDEAD_FOR (40 * SECOND)

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

void world_init(struct world *w, uint64_t seed)
{
	*w = (struct world){
		.seed = seed, .random = seed, .twin_random = seed * 2 + 1, .stop_by = NSEC_NEVER};
	w->now = SECOND;
	w->processes = must(calloc(PROCESSES_MAX, sizeof(*w->processes)));
	w->places = must(calloc(SLOTS_MAX, sizeof(*w->places)));
	w->coming = must(malloc(COMING_MAX * sizeof(*w->coming)));
	w->lines = must(malloc(LINES_MAX * sizeof(*w->lines)));
}

void world_fini(struct world *w)
{
	free(w->processes);
	free(w->places);
	free(w->coming);
	free(w->lines);
}

uint64_t world_random(struct world *w, uint64_t below)
{
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

bool world_chance(struct world *w, unsigned per_mille)
{
	return world_random(w, 1000) < per_mille;
}

nsec_t world_span(struct world *w, nsec_t least, nsec_t most)
{
	return least + (nsec_t)world_random(w, (uint64_t)(most - least) + 1);
}

struct plan *world_add_plan(struct world *w)
{
	struct plan *plan = &w->plans[w->plan_count++];

	plan->settings = must(calloc(1, sizeof(*plan->settings)));
	plan->settings->refs = 1;
	return plan;
}

const struct plan *world_plan_of(const struct world *w, const struct cluster_settings *settings)
{
	for (unsigned i = 0; i < w->plan_count; i++)
		if (w->plans[i].settings == settings)
			return &w->plans[i];
	abort();
}

static const struct habits *habits_of(
	const struct world *w, const struct cluster_settings *settings)
{
	return &world_plan_of(w, settings)->habits;
}

/* ---- what is to come ---- */

static bool is_sooner(const struct coming *a, const struct coming *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_schedule(struct world *w, nsec_t at, const struct event *event)
{
	struct coming it = {.at = at, .event = *event};
	unsigned place = w->coming_count++;

	if (w->coming_count > COMING_MAX)
		world_complain(w, "too much is to come");
	it.order = w->coming_order++;
	while (place > 0 && is_sooner(&it, &w->coming[(place - 1) / 2])) {
		w->coming[place] = w->coming[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	w->coming[place] = it;
}

static struct event take_first(struct world *w)
{
	struct event first = w->coming[0].event;
	struct coming last = w->coming[--w->coming_count];
	unsigned place = 0;

	for (;;) {
		unsigned below = 2 * place + 1;

		if (below >= w->coming_count)
			break;
		if (below + 1 < w->coming_count &&
			is_sooner(&w->coming[below + 1], &w->coming[below]))
			below++;
		if (!is_sooner(&w->coming[below], &last))
			break;
		w->coming[place] = w->coming[below];
		place = below;
	}
	w->coming[place] = last;
	return first;
}

/* ---- processes ---- */

static void schedule(
	struct world *w, uint64_t worker, nsec_t after, enum event_kind kind, nsec_t span)
{
	struct event e = {
		.kind = kind,
		.slot = w->processes[worker].slot,
		.worker = worker,
		.span = span,
	};

	world_schedule(w, w->now + after, &e);
}

static void schedule_exit(struct world *w, uint64_t worker, nsec_t after, struct ending ending)
{
	struct event e = {
		.kind = EVENT_EXITED,
		.slot = w->processes[worker].slot,
		.worker = worker,
		.ending = ending,
	};

	world_schedule(w, w->now + after, &e);
}

static struct ending some_ending(struct world *w, const struct habits *h)
{
	if (world_chance(w, h->exits_well))
		return (struct ending){.kind = ENDING_EXIT};
	if (world_chance(w, 500))
		return (struct ending){.kind = ENDING_EXIT, .code = 3};
	if (world_chance(w, 200))
		return (struct ending){
			.kind = ENDING_SIGNAL, .code = SIGKILL, .out_of_memory = true};
	return (struct ending){.kind = ENDING_SIGNAL, .code = SIGSEGV};
}

/* It tells, or shows, once or twice. */
static void tell(struct world *w, uint64_t worker, const struct habits *h, nsec_t after,
	enum event_kind kind)
{
	schedule(w, worker, after, kind, 0);
	if (world_chance(w, h->says_twice))
		schedule(w, worker, after + world_span(w, 0, SECOND), kind, 0);
}

/* It has much to do, and now and then nothing. */
static void live_busy(struct world *w, uint64_t worker)
{
	struct event e = {
		.kind = EVENT_BUSY,
		.slot = w->processes[worker].slot,
		.worker = worker,
	};

	for (int i = 0; i < 3; i++) {
		e.held = world_chance(w, 500);
		world_schedule(w, w->now + world_span(w, 0, 20 * SECOND), &e);
	}
}

/* What it says to its watchdog, and what is found out about it. */
static void live_watched(struct world *w, uint64_t worker, const struct habits *h)
{
	static const enum why whys[] = {WHY_CHECK, WHY_REQUEST, WHY_STALL, WHY_WATCHDOG};
	struct event e = {.slot = w->processes[worker].slot, .worker = worker};
	nsec_t when; /* drawn first: compilers differ in the order of arguments */

	w->processes[worker].beats = !world_chance(w, h->silent);
	schedule(w, worker, world_span(w, 0, 100 * MSEC), EVENT_ALIVE, 0);
	if (world_chance(w, h->intervals)) {
		when = world_span(w, 0, SECOND);
		schedule(w, worker, when, EVENT_WATCHDOG, world_span(w, 200 * MSEC, 2 * SECOND));
	}
	if (world_chance(w, h->unwell)) {
		when = world_span(w, 0, 5 * SECOND);
		e.kind = EVENT_UNWELL;
		e.why = whys[world_random(w, 4)];
		world_schedule(w, w->now + when, &e);
	}
	if (world_chance(w, h->outgrown)) {
		when = world_span(w, 0, 5 * SECOND);
		e.kind = EVENT_OUTGROWN;
		e.why = world_chance(w, 500) ? WHY_MEMORY : WHY_SERVED;
		world_schedule(w, w->now + when, &e);
	}
}

/* As long as it lives, and is not silent. */
static void beat_again(struct world *w, const struct event *e)
{
	const struct process *p = &w->processes[e->worker];

	if (p->life == LIFE_ALIVE && p->settings->watchdog + p->interval > 0 &&
		(p->beats || w->calm || world_chance(w, 800)))
		schedule(w, e->worker, world_span(w, 50 * MSEC, 150 * MSEC), EVENT_ALIVE, 0);
}

/* What is seen of it while it opens no port. */
static void live_portless(struct world *w, uint64_t worker, const struct habits *h)
{
	struct event e = {
		.kind = EVENT_IDLE,
		.slot = w->processes[worker].slot,
		.worker = worker,
	};

	if (world_chance(w, h->idles))
		world_schedule(w, w->now + world_span(w, 0, 15 * SECOND), &e);
	e.kind = EVENT_REFUSED;
	if (world_chance(w, h->idles / 8))
		world_schedule(w, w->now + world_span(w, 0, 2 * SECOND), &e);
}

/* A process is born: its life, as far as it depends on itself. */
static void live(struct world *w, uint64_t worker, const struct habits *h)
{
	nsec_t ready = world_span(w, 0, h->ready_after);
	nsec_t when = world_span(w, 0, SECOND);
	nsec_t death;

	if (!world_chance(w, h->says_nothing))
		tell(w, worker, h, ready, EVENT_READY);
	if (!world_chance(w, h->never_listens))
		tell(w, worker, h, world_span(w, 0, h->listens_after), EVENT_LISTENING);
	if (!world_chance(w, h->never_proves))
		tell(w, worker, h, world_span(w, 0, h->proves_after), EVENT_PROVED);
	live_watched(w, worker, h);
	live_busy(w, worker);
	live_portless(w, worker, h);
	if (world_chance(w, h->extends))
		schedule(w, worker, when, EVENT_EXTEND, world_span(w, MSEC, 3 * SECOND));
	if (world_chance(w, h->leaves)) {
		when = world_span(w, 0, h->life);
		schedule(w, worker, when, EVENT_LEAVING, 0);
		when += world_span(w, 0, 2 * SECOND);
		schedule_exit(w, worker, when, some_ending(w, h));
	}
	if (world_chance(w, h->dies_early))
		death = world_span(w, 0, ready + ready / 4);
	else if (world_chance(w, h->dies_later))
		death = ready + world_span(w, 0, h->life);
	else
		return;
	schedule_exit(w, worker, death, some_ending(w, h));
	if (world_chance(w, h->says_twice))
		schedule_exit(w, worker, death + when, some_ending(w, h));
}

static void answer(struct world *w, const struct event *e)
{
	w->answers[w->answer_count++] = *e;
}

static void spawn(struct world *w, const struct action *a)
{
	static const struct habits good = {.ready_after = 50 * MSEC,
		.listens_after = 50 * MSEC,
		.proves_after = 50 * MSEC,
		.stop_after = 50 * MSEC};
	const struct habits *h = w->calm ? &good : habits_of(w, a->settings);
	struct event e = {
		.kind = EVENT_SPAWNED,
		.slot = a->slot,
		.worker = a->worker,
		.pid = (pid_t)a->worker + 1000,
		.opens = world_chance(w, 500),
	};

	if (!world_chance(w, h->spawn_fails)) {
		answer(w, &e);
		live(w, a->worker, h);
		return;
	}
	e.kind = EVENT_SPAWN_FAILED;
	e.ending = (struct ending){.kind = ENDING_SPAWN, .code = EAGAIN};
	if (world_chance(w, h->fails_for_good)) {
		e.ending.code = ENOENT;
		e.ending.permanent = true;
		e.ending.exit_status = 127;
	}
	answer(w, &e);
}

/* `before`: now and then it fails. */
static void prepare(struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);
	struct event e = {.kind = EVENT_PREPARED};

	if (!view.unprepared)
		return;
	e.count = view.id;
	if (!w->calm && world_chance(w, 250))
		e.why = WHY_BEFORE;
	world_schedule(w, w->now + world_span(w, 0, 2 * SECOND), &e);
}

void world_carry_out(struct world *w, const struct action *a)
{
	const struct habits *h;
	nsec_t after;

	switch (a->kind) {
	case ACTION_SPAWN:
		spawn(w, a);
		break;
	case ACTION_SIGNAL:
		h = habits_of(w, w->processes[a->worker].settings);
		if (w->calm || !world_chance(w, h->deaf))
			schedule_exit(w, a->worker, world_span(w, 0, h->stop_after),
				(struct ending){.kind = ENDING_SIGNAL, .code = a->signal});
		break;
	case ACTION_DRAIN:
		h = habits_of(w, w->processes[a->worker].settings);
		if (w->calm || !world_chance(w, h->never_quiet))
			tell(w, a->worker, h, world_span(w, 0, h->quiet_after), EVENT_DRAINED);
		break;
	case ACTION_KILL:
		h = habits_of(w, w->processes[a->worker].settings);
		after = world_chance(w, h->undead) ? UNDEAD_FOR : world_span(w, 0, 5 * MSEC);
		schedule_exit(w, a->worker, after,
			(struct ending){.kind = ENDING_SIGNAL, .code = SIGKILL});
		break;
	case ACTION_REPORT:
		if (a->report.kind == REPORT_ROLLOUT_STARTED)
			prepare(w);
		break;
	case ACTION_RELEASE:
		break;
	}
}

void world_calm_down(struct world *w)
{
	w->calm = true;
	for (uint64_t id = 1; id <= w->last_worker; id++)
		if (w->processes[id].life == LIFE_ALIVE && w->processes[id].leaving)
			schedule_exit(w, id, MSEC, (struct ending){.kind = ENDING_EXIT});
}

/* ---- the loop ---- */

void world_deliver(struct world *w, struct event *event)
{
	static struct actions out;

	event->now = w->now;
	trace_event(w, event);
	witness_event(w, event);
	twin_before(w, event);
	cluster_handle(w->cluster, event, &out);
	twin_handle(w, event, &out);
	for (unsigned i = 0; i < out.count; i++)
		trace_action(w, &out.list[i]);
	if (event->kind == EVENT_SETTINGS)
		witness_settings(w, event->settings);
	for (unsigned i = 0; i < out.count; i++) {
		witness_action(w, &out.list[i], i + 1 < out.count ? &out.list[i + 1] : NULL, event);
		world_carry_out(w, &out.list[i]);
	}
	witness_after(w, event, &out);
}

/* A request may arrive between a spawn and its answer. */
static void intrude(struct world *w)
{
	struct event e = {.kind = EVENT_STOP};

	if (world_chance(w, 600)) {
		e.kind = EVENT_SCALE;
		e.scale.wanted = (unsigned)world_random(w, w->wanted + 1);
	}
	world_deliver(w, &e);
}

/* Answers come before anything else about their workers. */
static bool give_answer(struct world *w)
{
	struct event e;

	if (w->answer_next == w->answer_count) {
		w->answer_next = w->answer_count = 0;
		return false;
	}
	if (w->rude && !w->calm && world_chance(w, 5))
		intrude(w);
	e = w->answers[w->answer_next++];
	world_deliver(w, &e);
	return true;
}

void world_tell_alone(struct world *w)
{
	struct event e = {.kind = EVENT_ALONE, .held = w->alone};

	world_deliver(w, &e);
}

static void tick(struct world *w)
{
	struct event e = {.kind = EVENT_TICK};

	world_deliver(w, &e);
}

static void pass_time(struct world *w, nsec_t until)
{
	if (w->now < until)
		w->now = until;
	if (world_chance(w, 200))
		w->now += world_span(w, 0, 2 * MSEC);
}

/* Nothing is born before `before` has run: the shell holds the ticks back. */
nsec_t world_deadline(const struct world *w)
{
	struct rollout_view view = cluster_view_rollout(w->cluster);

	if (view.unprepared && view.fresh && !w->stopping)
		return NSEC_NEVER;
	return cluster_next_deadline(w->cluster);
}

bool world_go_on(struct world *w, nsec_t until)
{
	nsec_t deadline;
	nsec_t coming;
	struct event e;

	if (give_answer(w))
		return true;
	twin_look(w);
	deadline = world_deadline(w);
	if (deadline <= w->now) {
		tick(w);
		return true;
	}
	if (cluster_next_deadline(w->cluster) > w->now)
		witness_settled(w);
	coming = w->coming_count > 0 ? w->coming[0].at : NSEC_NEVER;
	if (nsec_min(deadline, coming) > until) {
		w->now = w->now < until ? until : w->now;
		return false;
	}
	pass_time(w, nsec_min(deadline, coming));
	if (deadline < coming || (deadline == coming && world_chance(w, 500))) {
		tick(w);
		return true;
	}
	e = take_first(w);
	world_deliver(w, &e);
	if (e.kind == EVENT_ALIVE)
		beat_again(w, &e);
	return true;
}
