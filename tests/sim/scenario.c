/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <signal.h>

/* A world is drawn by its kind. */
enum kind { QUIET, BENIGN, NASTY, CRUEL, CROWDED, KINDS };

static nsec_t some_of(struct world *w, nsec_t most)
{
	return world_chance(w, 300) ? 0 : world_span(w, MSEC, most);
}

static unsigned per_mille(struct world *w, unsigned most)
{
	return world_chance(w, 500) ? 0 : (unsigned)world_random(w, most + 1);
}

static void draw_stop(struct world *w, struct cluster_settings *s)
{
	static const int signals[] = {SIGTERM, SIGQUIT, SIGINT};

	s->stop_count = 1 + (unsigned)world_random(w, 3);
	for (unsigned i = 0; i < s->stop_count; i++) {
		s->stop[i].signal = signals[i];
		s->stop[i].timeout = some_of(w, 3 * SECOND);
	}
}

static void draw_settings(struct world *w, struct cluster_settings *s)
{
	s->ready = (enum ready_mode)world_random(w, 5);
	s->ready_alive = world_span(w, MSEC, SECOND);
	s->start_timeout = world_span(w, 200 * MSEC, 4 * SECOND);
	draw_stop(w, s);
	s->backoff_min = world_span(w, 20 * MSEC, 300 * MSEC);
	s->backoff_max = s->backoff_min + world_span(w, 0, 5 * SECOND);
	s->backoff_jitter = (unsigned)world_random(w, 51);
	s->stable_after = world_span(w, 0, 2 * SECOND);
	s->success_exit[0] = 1;
	s->surge = (unsigned)world_random(w, 3);
	s->max_unavailable = (unsigned)world_random(w, 3);
	if (world_chance(w, 700)) {
		s->surge = 1;
		s->max_unavailable = 0;
	}
	if (world_chance(w, 500))
		s->surge = COUNT_AUTO;
	if (world_chance(w, 500))
		s->max_unavailable = COUNT_AUTO;
	s->drain = (enum drain_mode)world_random(w, 4);
	s->drain_timeout = some_of(w, 3 * SECOND);
	if (world_chance(w, 200))
		s->surge = WORKERS_MAX;
	if (world_chance(w, 300))
		s->canary = 1 + (unsigned)world_random(w, 4);
	s->bake = world_chance(w, 500) ? BAKE_AUTO : some_of(w, 4 * SECOND);
	if (s->ready == READY_PROBE)
		s->ready_probe.kind = (enum probe_kind)(1 + world_random(w, 3));
	if (world_chance(w, 250))
		s->watchdog = world_span(w, 200 * MSEC, 3 * SECOND);
	if (world_chance(w, 200))
		s->max_age = world_span(w, 2 * SECOND, 20 * SECOND);
	s->old_generations = 1 + (unsigned)world_random(w, 3);
	s->start_at_once = (unsigned)world_random(w, 5);
	if (world_chance(w, 150))
		s->before.text = "migrate";
}

static void draw_ends(struct world *w, struct cluster_settings *s)
{
	if (world_chance(w, 200))
		s->restart = (enum restart_policy)world_random(w, 3);
	if (world_chance(w, 200)) {
		s->give_up_count = 2 + (unsigned)world_random(w, 10);
		s->give_up_window = world_span(w, SECOND, 20 * SECOND);
	}
}

/* Most programs do a thing always or never. */
static unsigned mostly(struct world *w, unsigned most)
{
	if (world_chance(w, 300))
		return 1000;
	return per_mille(w, most);
}

/* How it lets know that it is ready, if at all. */
static void draw_signs(struct world *w, struct habits *h, unsigned how_bad)
{
	h->says_nothing = mostly(w, how_bad);
	h->never_listens = mostly(w, how_bad);
	h->listens_after = some_of(w, 2 * SECOND);
	h->idles = per_mille(w, how_bad);
	h->never_proves = mostly(w, how_bad);
	h->proves_after = some_of(w, 2 * SECOND);
}

static void draw_habits(struct world *w, struct habits *h, unsigned how_bad)
{
	draw_signs(w, h, how_bad);
	h->ready_after = some_of(w, SECOND);
	h->stop_after = some_of(w, 2 * SECOND);
	h->life = world_span(w, MSEC, world_chance(w, 300) ? 2 * SECOND : 20 * SECOND);
	h->exits_well = per_mille(w, 1000);
	h->dies_later = per_mille(w, 1000);
	if (world_chance(w, 100)) { /* slowly, again and again */
		h->life = world_span(w, 2 * SECOND, 100 * SECOND);
		h->dies_later = 1000;
	}
	h->says_twice = per_mille(w, 500);
	h->spawn_fails = per_mille(w, how_bad / 2);
	h->fails_for_good = per_mille(w, 300);
	h->dies_early = per_mille(w, how_bad);
	h->leaves = per_mille(w, how_bad / 2);
	h->extends = per_mille(w, how_bad);
	h->deaf = per_mille(w, how_bad);
	h->undead = per_mille(w, how_bad / 10);
	h->never_quiet = per_mille(w, how_bad);
	h->quiet_after = some_of(w, 2 * SECOND);
	h->silent = per_mille(w, how_bad);
	h->intervals = per_mille(w, 200);
	h->unwell = per_mille(w, how_bad);
	h->outgrown = per_mille(w, 300);
}

/* The command stays what it was to be at last. */
static struct plan *draw_plan(struct world *w, enum kind kind)
{
	struct plan *plan = world_add_plan(w);

	if (w->cluster != NULL)
		plan->command = world_plan_of(w, cluster_next_settings(w->cluster))->command;
	draw_settings(w, plan->settings);
	if (kind == BENIGN) {
		draw_signs(w, &plan->habits, 0);
		plan->habits.ready_after = some_of(w, 150 * MSEC);
		plan->habits.stop_after = some_of(w, 100 * MSEC);
		plan->habits.life = 20 * SECOND;
		return plan;
	}
	draw_habits(w, &plan->habits, kind == CRUEL ? 1000 : 250);
	if (kind != CROWDED)
		draw_ends(w, plan->settings);
	return plan;
}

/* ---- what users ask for ---- */

/* Its id. */
static unsigned request(struct world *w, struct event *e)
{
	unsigned id = cluster_last_rollout(w->cluster);

	if (w->rollout != 0 || e->settings == NULL)
		w->disturbed = true;
	/* reports of it may come within this call */
	for (unsigned i = 1; i < 4; i++) {
		w->asked_settings[(id + i) % 64] = NULL;
		w->asked_canary[(id + i) % 64].there = false;
	}
	world_deliver(w, e);
	id = cluster_last_rollout(w->cluster);
	w->asked_settings[id % 64] = e->settings;
	if (e->slot != SLOT_ALL)
		return id;
	w->asked_canary[id % 64].there = true;
	w->asked_canary[id % 64].count = e->has_canary ? e->count : UINT32_MAX;
	w->asked_canary[id % 64].span = e->has_bake ? e->span : -1;
	return id;
}

static void new_settings(struct world *w, enum kind kind, struct event *e)
{
	struct plan *plan = draw_plan(w, kind);

	e->settings = cluster_settings_ref(plan->settings);
	e->command_changed = world_chance(w, 300);
	if (e->command_changed)
		plan->command = ++w->last_command;
}

static void roll(struct world *w, enum kind kind)
{
	struct event e = {.kind = EVENT_ROLL, .slot = SLOT_ALL};
	enum verb verb = VERB_RESTART;

	if (world_chance(w, 250) && w->wanted > 0) {
		e.slot = (uint32_t)world_random(w, w->wanted);
		verb = VERB_RESTART_SLOT;
	} else if (world_chance(w, 500) && w->plan_count < PLANS_MAX) {
		new_settings(w, kind, &e);
		verb = VERB_RELOAD;
	}
	if (world_chance(w, 150)) {
		e.has_canary = true;
		e.count = (unsigned)world_random(w, 4);
	}
	if (world_chance(w, 150)) {
		e.has_bake = true;
		e.span = some_of(w, 4 * SECOND);
	}
	e.drops_ports = world_chance(w, 300);
	orders_note(w, verb);
	(void)request(w, &e);
}

static void run_until(struct world *w, nsec_t until)
{
	while (world_go_on(w, until))
		;
}

/* A worker of the rollout that lives, and was not asked to go; 0: none. */
static uint64_t new_one(const struct world *w)
{
	for (uint64_t id = w->last_worker; id > 0; id--)
		if (w->processes[id].life == LIFE_ALIVE && !w->processes[id].going &&
			w->processes[id].generation == w->rollout_to)
			return id;
	return 0;
}

/* New settings, on one slot for some time, and who is tried there ends. */
static void canary_fails(struct world *w, enum kind kind)
{
	struct event e = {
		.kind = EVENT_ROLL,
		.slot = SLOT_ALL,
		.has_canary = true,
		.count = 1,
		.has_bake = true,
		.span = 4 * SECOND,
	};
	struct event end = {
		.kind = EVENT_EXITED,
		.ending = {.kind = ENDING_EXIT, .code = 3},
	};
	unsigned id;

	if (w->plan_count == PLANS_MAX)
		return;
	new_settings(w, kind, &e);
	id = request(w, &e);
	for (int i = 0; i < 4 && w->rollout == id && end.worker == 0; i++) {
		run_until(w, w->now + world_span(w, 0, 500 * MSEC));
		if (w->rollout == id)
			end.worker = new_one(w);
	}
	if (end.worker != 0) {
		end.slot = w->processes[end.worker].slot;
		world_deliver(w, &end);
	}
	orders_note(w, w->failed_last == id ? VERB_CANARY_FAILS : VERB_RELOAD);
}

static void scale(struct world *w, unsigned most)
{
	struct event e = {.kind = EVENT_SCALE};

	if (world_chance(w, 500))
		e.scale.wanted = (unsigned)world_random(w, most + 1);
	else if (world_chance(w, 500))
		e.scale.wanted = w->wanted < most ? w->wanted + 1 : most;
	else
		e.scale.wanted = w->wanted > 0 ? w->wanted - 1 : 0;
	if (e.scale.wanted != w->wanted)
		orders_note(w, e.scale.wanted > w->wanted ? VERB_SCALE_UP : VERB_SCALE_DOWN);
	if (cluster_reserve(w->cluster, e.scale.wanted) == -1)
		world_complain(w, "out of memory");
	twin_reserve(w, e.scale.wanted);
	world_deliver(w, &e);
}

static void change_settings(struct world *w, enum kind kind)
{
	struct event e = {.kind = EVENT_SETTINGS};

	if (w->plan_count == PLANS_MAX)
		return;
	e.settings = draw_plan(w, kind)->settings;
	(void)cluster_settings_ref(e.settings);
	world_deliver(w, &e);
}

static void stand_still(struct world *w)
{
	struct event e = {.kind = EVENT_LATE};

	e.span = world_span(w, MSEC, 5 * SECOND);
	w->now += e.span;
	world_deliver(w, &e);
}

static void stop(struct world *w)
{
	struct event e = {.kind = EVENT_STOP};

	e.at_once = world_chance(w, 150);
	world_deliver(w, &e);
}

/* nclust goes, and the next one takes over: told all, or nothing. */
static void exchange(struct world *w)
{
	bool killed = world_chance(w, 500);

	if (killed && (w->stopping || w->ended))
		return;
	orders_note(w, killed ? VERB_KILL : VERB_UPGRADE);
	if (killed)
		kill_and_adopt(w);
	else
		twin_upgrade(w);
}

static void command(struct world *w, enum kind kind, unsigned most)
{
	struct event e = {.kind = EVENT_TICK};
	uint64_t which = world_random(w, 100);

	if (which < 32)
		roll(w, kind);
	else if (which < 40)
		canary_fails(w, kind);
	else if (which < 56)
		scale(w, most);
	else if (which < 66)
		exchange(w);
	else if (which < 73)
		stand_still(w);
	else if (which < 78)
		change_settings(w, kind);
	else if (which < 84)
		stop(w);
	else if (world_deadline(w) != NSEC_NEVER)
		world_deliver(w, &e); /* too early */
}

/* ---- the course of the world ---- */

/* While anything can go wrong. */
static void run_wild(struct world *w, enum kind kind, unsigned most)
{
	unsigned commands = (unsigned)world_random(w, kind == QUIET ? 5 : 60);

	for (unsigned i = 0; i < commands; i++) {
		nsec_t gap = world_chance(w, 300) ? 50 * MSEC : 6 * SECOND;

		run_until(w, w->now + world_span(w, 0, gap));
		if (kind == BENIGN)
			roll(w, kind);
		else
			command(w, kind, most);
	}
	run_until(w, w->now + world_span(w, 0, 10 * SECOND));
	if (world_chance(w, 50)) /* a loop may end by itself */
		run_until(w, w->now + 4 * MINUTE);
}

static bool is_well(const struct world *w)
{
	enum cluster_state state = cluster_state(w->cluster);

	for (uint64_t id = 1; id <= w->last_worker && !w->ended; id++)
		if (w->processes[id].life == LIFE_ALIVE && !w->processes[id].going &&
			(w->processes[id].unfit == WHY_CHECK ||
				w->processes[id].unfit == WHY_REQUEST ||
				w->processes[id].unfit == WHY_MEMORY ||
				w->processes[id].unfit == WHY_SERVED))
			return false; /* its successor is to come */
	return w->ended || (state == CLUSTER_RUNNING && w->rollout == 0);
}

/* Does it serve until the other one of its slot does? */
static bool is_substitute(const struct world *w, uint64_t id)
{
	const struct process *mate = witness_mate(w, id);

	return mate != NULL && !mate->ready;
}

/* Do all workers run by the settings in force? */
static void check_settings(struct world *w)
{
	if (w->shuffled || w->went_back_badly)
		return;
	for (uint64_t id = 1; id <= w->last_worker; id++)
		if (w->processes[id].life == LIFE_ALIVE && !w->processes[id].going &&
			w->processes[id].settings != cluster_settings(w->cluster) &&
			!is_substitute(w, id))
			world_complain(w, "settings of old live on");
}

static void check_outcome(const struct world *w)
{
	unsigned id = cluster_last_rollout(w->cluster);

	if (id != 0 && w->outcome[id % 64] != id)
		world_complain(w, "nobody told how rollout %u ended", id);
}

/* Workers that are too old sooner than one after the other is replaced are never all ready. */
static bool is_aging(const struct world *w)
{
	enum cluster_state state = cluster_state(w->cluster);

	return (state == CLUSTER_DEGRADED || state == CLUSTER_STARTING) && w->rollout == 0 &&
		cluster_settings(w->cluster)->max_age > 0;
}

/* Once all processes behave, all has to come to rest. */
static void run_calm(struct world *w)
{
	nsec_t until = w->now + (nsec_t)(w->wanted + 4) * 60 * SECOND;

	world_calm_down(w);
	while (!is_well(w) && w->now < until)
		run_until(w, w->now + SECOND);
	if (!is_well(w) && !is_aging(w))
		world_complain(w, "it does not come to rest: %s",
			cluster_state_name(cluster_state(w->cluster)));
	check_settings(w);
	check_outcome(w);
}

static void run_down(struct world *w)
{
	bool again = world_chance(w, 200);

	if (!w->ended)
		stop(w);
	if (again && !w->ended) {
		run_until(w, w->now + world_span(w, 0, 2 * SECOND));
		stop(w);
	}
	run_until(w, w->now + 60 * SECOND);
	if (!w->ended)
		world_complain(w, "it does not end");
	if (cluster_next_deadline(w->cluster) != NSEC_NEVER)
		world_complain(w, "it has ended, and waits for something");
}

static void check_references(struct world *w)
{
	for (unsigned i = 0; i < w->plan_count; i++)
		if (w->plans[i].settings->refs != 1)
			world_complain(w, "settings are held for ever");
}

static unsigned draw_slots(struct world *w, enum kind kind)
{
	if (kind == QUIET)
		return 1;
	if (kind == CROWDED)
		return 100 + (unsigned)world_random(w, 300);
	return 1 + (unsigned)world_random(w, 8);
}

void scenario_run(struct world *w)
{
	enum kind kind = (enum kind)world_random(w, CROWDED);
	unsigned slots;

	if (w->seed % 500 == 499)
		kind = CROWDED;
	slots = draw_slots(w, kind);
	w->wanted = slots;
	w->cluster = cluster_new(draw_plan(w, kind)->settings, slots, w->seed);
	if (w->cluster == NULL)
		world_complain(w, "out of memory");
	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		w->places[i].refill_by = NSEC_NEVER;
	w->rude = kind >= NASTY;
	w->alone = world_chance(w, 500);
	world_tell_alone(w);
	run_wild(w, kind, slots + 2);
	run_calm(w);
	run_down(w);
	cluster_free(w->cluster);
	twin_end(w);
	check_references(w);
	for (unsigned i = 0; i < w->plan_count; i++)
		cluster_settings_unref(w->plans[i].settings);
}
