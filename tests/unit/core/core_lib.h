/* SPDX-License-Identifier: MIT */
#ifndef TESTS_CORE_LIB_H
#define TESTS_CORE_LIB_H

#include "../unit.h"

#include "core/cluster.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * A cluster on a bench: spawns are answered at once, ticks come when they are
 * due, and all that the core asked for or told is kept to be looked at.
 */
#define BENCH_KEPT 8192

struct bench {
	struct cluster *c;
	struct cluster_settings *s; /* one reference is the bench's */
	nsec_t now;
	unsigned failing;      /* so many spawns to come fail... */
	struct ending failure; /* ...so */
	struct action kept[BENCH_KEPT];
	unsigned count;
};

static inline struct cluster_settings *bench_settings(void)
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

static inline void bench_feed(struct bench *b, struct event e)
{
	struct actions out;

	e.now = b->now;
	cluster_handle(b->c, &e, &out);
	for (unsigned i = 0; i < out.count; i++) {
		ck_assert_uint_lt(b->count, BENCH_KEPT);
		b->kept[b->count++] = out.list[i];
	}
	ck_assert_pstr_eq(cluster_check(b->c), NULL);
	for (unsigned i = 0; i < out.count; i++) {
		struct event answer = {
			.kind = EVENT_SPAWNED,
			.slot = out.list[i].slot,
			.worker = out.list[i].worker,
			.pid = 1000 + (pid_t)out.list[i].worker,
		};

		if (out.list[i].kind != ACTION_SPAWN)
			continue;
		if (b->failing > 0) {
			b->failing--;
			answer.kind = EVENT_SPAWN_FAILED;
			answer.ending = b->failure;
		}
		bench_feed(b, answer);
	}
}

static inline void bench_settle(struct bench *b)
{
	for (int i = 0; cluster_next_deadline(b->c) <= b->now; i++) {
		ck_assert_int_lt(i, 10000);
		bench_feed(b, (struct event){.kind = EVENT_TICK});
	}
}

static inline void bench_do(struct bench *b, struct event e)
{
	bench_feed(b, e);
	bench_settle(b);
}

/* Let time pass, with every tick at its time. */
static inline void bench_pass(struct bench *b, nsec_t span)
{
	nsec_t until = b->now + span;

	while (cluster_next_deadline(b->c) <= until) {
		nsec_t due = cluster_next_deadline(b->c);

		b->now = due > b->now ? due : b->now;
		bench_settle(b);
	}
	b->now = until;
}

static inline void bench_start(
	struct bench *b, struct cluster_settings *s, unsigned slots)
{
	*b = (struct bench){.s = s, .now = 100 * SECOND};
	b->c = cluster_new(s, slots, 1);
	ck_assert_ptr_nonnull(b->c);
	bench_settle(b);
}

static inline void bench_end(struct bench *b)
{
	cluster_free(b->c);
	ck_assert_uint_eq(b->s->refs, 1);
	cluster_settings_unref(b->s);
}

static inline struct slot_view bench_slot(struct bench *b, uint32_t slot)
{
	struct slot_view view;

	cluster_view_slot(b->c, slot, &view);
	return view;
}

/* The id of the slot's worker of that generation; 0: there is none. */
static inline uint64_t bench_of_generation(
	struct bench *b, uint32_t slot, unsigned generation)
{
	struct slot_view view = bench_slot(b, slot);

	for (unsigned k = 0; k < view.workers; k++)
		if (view.worker[k].generation == generation)
			return view.worker[k].id;
	return 0;
}

static inline struct rollout_view bench_rollout(struct bench *b)
{
	struct rollout_view view;

	cluster_view_rollout(b->c, &view);
	return view;
}

static inline void bench_tell(
	struct bench *b, enum event_kind kind, uint32_t slot, uint64_t worker)
{
	bench_do(b,
		(struct event){.kind = kind, .slot = slot, .worker = worker});
}

/* The slot's worker in that state; there must be one. */
static inline uint64_t bench_worker(
	struct bench *b, uint32_t slot, enum slot_state state)
{
	struct slot_view view = bench_slot(b, slot);

	for (unsigned k = 0; k < view.workers; k++)
		if (view.worker[k].state == state)
			return view.worker[k].id;
	ck_abort_msg("slot %u has no worker that is %s", slot,
		slot_state_name(state));
	return 0;
}

static inline void bench_ready(struct bench *b, uint32_t slot)
{
	bench_tell(b, EVENT_READY, slot, bench_worker(b, slot, SLOT_STARTING));
}

static inline void bench_listens(struct bench *b, uint32_t slot)
{
	bench_tell(
		b, EVENT_LISTENING, slot, bench_worker(b, slot, SLOT_STARTING));
}

static inline void bench_all_ready(struct bench *b)
{
	for (uint32_t i = 0; i < cluster_slots(b->c); i++)
		if (bench_slot(b, i).state == SLOT_STARTING)
			bench_ready(b, i);
}

static inline void bench_exit(struct bench *b, uint32_t slot,
	enum slot_state state, enum ending_kind kind, int code)
{
	bench_do(b,
		(struct event){
			.kind = EVENT_EXITED,
			.slot = slot,
			.worker = bench_worker(b, slot, state),
			.ending = {.kind = kind, .code = code},
		});
}

static inline void bench_forget(struct bench *b)
{
	b->count = 0;
}

static inline unsigned bench_actions(
	const struct bench *b, enum action_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < b->count; i++)
		count += b->kept[i].kind == kind;
	return count;
}

static inline const struct action *bench_last_action(
	const struct bench *b, enum action_kind kind)
{
	for (unsigned i = b->count; i-- > 0;)
		if (b->kept[i].kind == kind)
			return &b->kept[i];
	ck_abort_msg("no action of kind %d", (int)kind);
	return NULL;
}

static inline unsigned bench_reports(
	const struct bench *b, enum report_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < b->count; i++)
		count += b->kept[i].kind == ACTION_REPORT &&
			b->kept[i].report.kind == kind;
	return count;
}

static inline const struct report *bench_last(
	const struct bench *b, enum report_kind kind)
{
	for (unsigned i = b->count; i-- > 0;)
		if (b->kept[i].kind == ACTION_REPORT &&
			b->kept[i].report.kind == kind)
			return &b->kept[i].report;
	ck_abort_msg("no report of kind %d", (int)kind);
	return NULL;
}

#endif
