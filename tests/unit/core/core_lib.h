/* SPDX-License-Identifier: MIT */
#pragma once

#include "../../sim/recount.h"
#include "../unit.h"
#include "core/cluster.h"
#include "core/view.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * A cluster on a bench: spawns are answered at once, ticks come when they are
 * due, and all that the core asked for or told is kept to be looked at.  After
 * a test it is stopped, and all is freed.
 */
#define BENCH_KEPT 8192

static struct bench {
	struct cluster *c;
	struct cluster_settings *s; /* one reference is the bench's */
	nsec_t now;
	unsigned failing;      /* so many spawns to come fail... */
	struct ending failure; /* ...so */
	bool opens;            /* those that succeed may open a port */
	struct action kept[BENCH_KEPT];
	unsigned count;
} b;
static struct cluster_settings *fresh; /* what is rolled out; so too */

static inline struct cluster_settings *plain_settings(void)
{
	struct cluster_settings *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	s->refs = 1;
	s->ready = READY_NOTIFY;
	s->ready_alive = SECOND;
	s->start_timeout = 60 * SECOND;
	s->stop_count = 1;
	s->stop[0] = (struct stop_step){SIGTERM, 30 * SECOND};
	s->backoff_min = 100 * MSEC;
	s->backoff_max = 30 * SECOND;
	s->stable_after = SECOND;
	s->success_exit[0] = 1;
	s->surge = 1;
	s->old_generations = 2;
	return s;
}

static inline struct cluster_settings *canaries(
	struct cluster_settings *s, unsigned count, nsec_t bake)
{
	s->canary = count;
	s->bake = bake;
	return s;
}

/* New workers are watched where their readiness is but guessed. */
static inline struct cluster_settings *guessing(struct cluster_settings *s, enum ready_mode ready)
{
	s->ready = ready;
	s->bake = BAKE_AUTO;
	return s;
}

/* ---- events ---- */

static inline void feed(struct event e)
{
	struct actions out;

	e.now = b.now;
	cluster_handle(b.c, &e, &out);
	for (unsigned i = 0; i < out.count; i++) {
		ck_assert_uint_lt(b.count, BENCH_KEPT);
		b.kept[b.count++] = out.list[i];
	}
	ck_assert_pstr_eq(cluster_check(b.c), NULL);
	for (unsigned i = 0; i < out.count; i++) {
		struct event answer = {
			.kind = EVENT_SPAWNED,
			.slot = out.list[i].slot,
			.worker = out.list[i].worker,
			.pid = 1000 + (pid_t)out.list[i].worker,
			.opens = b.opens,
		};

		if (out.list[i].kind != ACTION_SPAWN)
			continue;
		if (b.failing > 0) {
			b.failing--;
			answer.kind = EVENT_SPAWN_FAILED;
			answer.ending = b.failure;
		}
		feed(answer);
	}
}

static inline void settle(void)
{
	for (int i = 0; cluster_next_deadline(b.c) <= b.now; i++) {
		ck_assert_int_lt(i, 10000);
		feed((struct event){.kind = EVENT_TICK});
	}
}

static inline void happens(struct event e)
{
	feed(e);
	settle();
}

/* Let time pass, with every tick at its time. */
static inline void pass(nsec_t span)
{
	nsec_t until = b.now + span;

	while (cluster_next_deadline(b.c) <= until) {
		nsec_t due = cluster_next_deadline(b.c);

		b.now = due > b.now ? due : b.now;
		settle();
	}
	b.now = until;
}

/* So much time passed while nclust stood still. */
static inline void stand_still(nsec_t span)
{
	b.now += span;
	happens((struct event){.kind = EVENT_LATE, .span = span});
}

static inline void forget(void)
{
	b.count = 0;
}

/* ---- what is there ---- */

static inline struct slot_view slot_at(uint32_t at)
{
	struct slot_view view;

	cluster_view_slot(b.c, at, &view);
	return view;
}

/* The generation of the slot's own worker. */
static inline unsigned generation_of(uint32_t slot)
{
	return slot_at(slot).worker[0].generation;
}

/* The id of the slot's worker of that generation; 0: there is none. */
static inline uint64_t worker_of(uint32_t slot, unsigned generation)
{
	struct slot_view view = slot_at(slot);

	for (unsigned k = 0; k < view.workers; k++)
		if (view.worker[k].generation == generation)
			return view.worker[k].id;
	return 0;
}

/* The slot's worker in that state; there must be one. */
static inline uint64_t worker_in(uint32_t slot, enum slot_state state)
{
	struct slot_view view = slot_at(slot);

	for (unsigned k = 0; k < view.workers; k++)
		if (view.worker[k].state == state)
			return view.worker[k].id;
	ck_abort_msg("slot %u has no worker that is %s", slot, slot_state_name(state));
	return 0;
}

static inline struct rollout_view rollout_now(void)
{
	struct rollout_view view = cluster_view_rollout(b.c);

	return view;
}

static inline unsigned actions(enum action_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < b.count; i++)
		count += b.kept[i].kind == kind;
	return count;
}

static inline const struct action *last_action(enum action_kind kind)
{
	for (unsigned i = b.count; i-- > 0;)
		if (b.kept[i].kind == kind)
			return &b.kept[i];
	ck_abort_msg("no action of kind %d", (int)kind);
	return NULL;
}

static inline bool is_report(const struct action *a, enum report_kind kind)
{
	return a->kind == ACTION_REPORT && a->report.kind == kind;
}

static inline unsigned reports(enum report_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < b.count; i++)
		count += is_report(&b.kept[i], kind);
	return count;
}

static inline const struct report *last(enum report_kind kind)
{
	for (unsigned i = b.count; i-- > 0;)
		if (is_report(&b.kept[i], kind))
			return &b.kept[i].report;
	ck_abort_msg("no report of kind %d", (int)kind);
	return NULL;
}

/* ---- what workers do ---- */

static inline void tell(enum event_kind kind, uint32_t slot, uint64_t worker)
{
	happens((struct event){.kind = kind, .slot = slot, .worker = worker});
}

static inline void gets_ready(uint32_t slot)
{
	tell(EVENT_READY, slot, worker_in(slot, SLOT_STARTING));
}

static inline void listens(uint32_t slot)
{
	tell(EVENT_LISTENING, slot, worker_in(slot, SLOT_STARTING));
}

static inline void all_get_ready(void)
{
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		if (slot_at(i).state == SLOT_STARTING)
			gets_ready(i);
}

static inline void is_unwell(uint32_t slot, uint64_t worker, enum why why)
{
	happens((struct event){
		.kind = EVENT_UNWELL,
		.slot = slot,
		.worker = worker,
		.why = why,
	});
}

static inline void ends(uint32_t slot, uint64_t worker, struct ending ending)
{
	happens((struct event){
		.kind = EVENT_EXITED,
		.slot = slot,
		.worker = worker,
		.ending = ending,
	});
}

static inline void exits(uint32_t slot, enum slot_state state, int status)
{
	ends(slot, worker_in(slot, state), (struct ending){.kind = ENDING_EXIT, .code = status});
}

static inline void dies(uint32_t slot, uint64_t worker)
{
	ends(slot, worker, (struct ending){.kind = ENDING_SIGNAL, .code = SIGSEGV});
}

static inline void crashes(uint32_t slot, enum slot_state state)
{
	dies(slot, worker_in(slot, state));
}

/* One that was asked to. */
static inline void goes(uint32_t slot)
{
	ends(slot, worker_in(slot, SLOT_STOPPING),
		(struct ending){.kind = ENDING_SIGNAL, .code = SIGTERM});
}

/* A new one takes its place in a rollout. */
static inline void step_through(uint32_t slot)
{
	gets_ready(slot);
	goes(slot);
}

/* ---- what is asked for ---- */

static inline void stop(bool at_once)
{
	happens((struct event){.kind = EVENT_STOP, .at_once = at_once});
}

static inline void scale(unsigned count)
{
	ck_assert_int_eq(cluster_reserve(b.c, count), 0);
	happens((struct event){.kind = EVENT_SCALE, .scale.wanted = count});
}

/* The same command again. */
static inline void restart(void)
{
	happens((struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
}

static inline void restart_slot(uint32_t slot)
{
	happens((struct event){.kind = EVENT_ROLL, .slot = slot});
}

static inline void restart_so(struct event how)
{
	how.kind = EVENT_ROLL;
	how.slot = SLOT_ALL;
	happens(how);
}

/* Other settings; the bench has a reference. */
static inline void deploy_so(struct cluster_settings *settings, struct event how)
{
	if (fresh != NULL)
		cluster_settings_unref(fresh);
	fresh = settings;
	how.settings = cluster_settings_ref(settings);
	restart_so(how);
}

static inline void deploy(struct cluster_settings *settings)
{
	deploy_so(settings, (struct event){.count = 0});
}

/* A single worker must have none beside it. */
static inline void must_be_alone(void)
{
	happens((struct event){.kind = EVENT_ALONE, .held = true});
}

/* Other settings for those that run. */
static inline void change(struct cluster_settings *settings, bool command)
{
	happens((struct event){
		.kind = EVENT_SETTINGS,
		.settings = settings,
		.command_changed = command,
	});
}

/* ---- begin and end ---- */

static inline void set_bench(void)
{
	b = (struct bench){.s = plain_settings(), .now = 100 * SECOND};
}

/* Nothing has ticked. */
static inline void prepare(unsigned slots)
{
	b.c = cluster_new(b.s, slots, 1);
	ck_assert_ptr_nonnull(b.c);
}

static inline void start(unsigned slots)
{
	prepare(slots);
	settle();
}

static inline void start_ready(unsigned slots)
{
	start(slots);
	all_get_ready();
	forget();
}

static inline void start_listening(unsigned slots)
{
	start(slots);
	for (uint32_t i = 0; i < slots; i++)
		listens(i);
	forget();
}

static inline void stop_all(void)
{
	stop(true);
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (slot_at(i).workers > 0)
			goes(i);
}

static inline void clear_bench(void)
{
	if (b.c != NULL) {
		stop_all();
		cluster_free(b.c);
	}
	ck_assert_uint_eq(b.s->refs, 1);
	cluster_settings_unref(b.s);
	if (fresh == NULL)
		return;
	ck_assert_uint_eq(fresh->refs, 1);
	cluster_settings_unref(fresh);
	fresh = NULL;
}

FIXTURE(set_bench, clear_bench)
