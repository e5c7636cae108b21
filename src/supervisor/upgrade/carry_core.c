/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/carry_core.h"

#include "core/adopt.h"
#include "core/whole.h"
#include "supervisor/common/carried.h"

#include <stdlib.h>

/*
 * How a cluster's core goes through an upgrade: between two calls of cluster_handle(), when all
 * actions have been carried out.  It goes on as if nothing had happened.
 */

/* clang-format off */

static const struct plain_row ending_rows[] = {
	PLAIN_ENUM(1, ending, kind, ENDING_UNKNOWN),
	PLAIN(2, ending, code, SIGNED),
	PLAIN(3, ending, step, SIGNED),
	PLAIN(4, ending, permanent, BOOL),
	PLAIN(5, ending, exit_status, SIGNED),
	PLAIN(6, ending, core_dumped, BOOL),
	PLAIN(7, ending, out_of_memory, BOOL),
	PLAIN(8, ending, done, BOOL),
};
static const struct carried ending_inside = {
	.called = "the end of a worker", CARRIED_ROWS(ending_rows, ending)
};

static const struct plain_row worker_rows[] = {
	PLAIN(1, worker, id, UNSIGNED),
	PLAIN(2, worker, born, SIGNED),
	PLAIN(3, worker, ready_at, WHEN),
	PLAIN(4, worker, proven_at, WHEN),
	PLAIN(5, worker, deadline, WHEN),
	PLAIN(6, worker, pid, SIGNED),
	PLAIN(7, worker, generation, UNSIGNED),
	PLAIN(8, worker, stop_step, UNSIGNED),
	PLAIN_ENUM(9, worker, state, WORKER_STATES - 1),
	PLAIN_ENUM(10, worker, why, WHY_SOCKET),
	PLAIN(12, worker, interval, SIGNED),
	PLAIN(13, worker, serves_since, SIGNED),
	PLAIN(14, worker, retire_at, WHEN),
	PLAIN(15, worker, age_share, SIGNED),
	PLAIN_ENUM(16, worker, unfit, WHY_SOCKET),
	PLAIN(17, worker, tells, BOOL),
	PLAIN(18, worker, extend_by, SIGNED),
	PLAIN(19, worker, gate_at, SIGNED),
	PLAIN(20, worker, released, BOOL), PLAIN(21, worker, said, BOOL),
	PLAIN(22, worker, slow, BOOL),
	/* 23 was for spares that were stopped by SIGSTOP */
	PLAIN(24, worker, opens, BOOL),
};
static const struct carried worker_inside = {
	.called = "a worker", CARRIED_ROWS(worker_rows, worker)
};

static const struct plain_row backoff_rows[] = {
	PLAIN(1, backoff, delay, SIGNED),
	PLAIN(2, backoff, forgiven, BOOL),
};
static const struct carried backoff_inside = {
	.called = "a backoff", CARRIED_ROWS(backoff_rows, backoff)
};

static const struct plain_row slot_rows[] = {
	CARRY_INSIDE(1, slot, main, &worker_inside),
	CARRY_INSIDE(2, slot, other, &worker_inside),
	CARRY_INSIDE(3, slot, backoff, &backoff_inside),
	PLAIN(4, slot, retry, SIGNED),
	PLAIN(5, slot, last_age, SIGNED),
	CARRY_INSIDE(6, slot, last, &ending_inside),
	PLAIN_ENUM(7, slot, last_why, WHY_SOCKET),
	PLAIN(8, slot, restarts, UNSIGNED),
	PLAIN(9, slot, life, UNSIGNED),
	/* 10, 11 and 14 were of a rollout under way */
	PLAIN_ENUM(12, slot, ended, SLOT_ENDED_BADLY),
	PLAIN(13, slot, mend_at, SIGNED),
	PLAIN_ENUM(15, slot, gate, GATES - 1),
	PLAIN(16, slot, busy, BOOL),
	PLAIN(17, slot, waits, SIGNED),
	CARRY_INSIDE(18, slot, mends, &backoff_inside),
	PLAIN(19, slot, early, UNSIGNED),
	PLAIN(20, slot, did, UNSIGNED),
	PLAIN(21, slot, lived, SIGNED),
	PLAIN(CARRY_DUE, slot, due, WHEN),
};

static const struct plain_row generation_rows[] = {
	PLAIN(1, generation, number, UNSIGNED),
	PLAIN(2, generation, workers, UNSIGNED),
	PLAIN(3, generation, serving, UNSIGNED),
	PLAIN(4, generation, command, UNSIGNED),
	PLAIN(5, generation, knows[LESSON_SAYS_READY], BOOL),
	PLAIN(6, generation, knows[LESSON_LISTENS], BOOL),
	PLAIN_ENUM(7, generation, rejected, WHY_REQUEST),
	PLAIN(9, generation, beside, UNSIGNED),
	PLAIN(10, generation, knows[LESSON_SILENT], BOOL),
	PLAIN(11, generation, knows[LESSON_UNGATED], BOOL),
	CARRY_REFERENCE(CARRY_INDEX, generation, settings, CARRY_OF_SETTINGS, true),
};

/* Of a rollout that is done, for the time in which it may still be undone; an upgrade waits for
 * one that is under way, of which the other numbers up to 30 were. */
static const struct plain_row rollout_rows[] = {
	PLAIN(4, rollout, id, UNSIGNED),
	PLAIN(5, rollout, to, UNSIGNED),
	PLAIN(7, rollout, since, SIGNED),
	PLAIN(27, rollout, watch, SIGNED),
	PLAIN(28, rollout, done_at, SIGNED),
	PLAIN(29, rollout, from, UNSIGNED),
};
static const struct carried rollout_inside = {
	.called = "a rollout", CARRIED_ROWS(rollout_rows, rollout)
};

static const struct plain_row cluster_rows[] = {
	PLAIN(2, cluster, wanted, UNSIGNED),
	PLAIN(3, cluster, sweep, UNSIGNED),
	PLAIN(4, cluster, shrink, UNSIGNED),
	PLAIN(5, cluster, more, BOOL), PLAIN(6, cluster, now, SIGNED),
	PLAIN(7, cluster, lost, SIGNED),
	PLAIN(8, cluster, spawns_left, UNSIGNED),
	PLAIN(9, cluster, random, UNSIGNED),
	PLAIN(10, cluster, last_worker, UNSIGNED),
	PLAIN(11, cluster, in_turn, UNSIGNED),
	PLAIN(12, cluster, generation, UNSIGNED),
	PLAIN(13, cluster, last_generation, UNSIGNED),
	PLAIN(14, cluster, last_command, UNSIGNED),
	CARRY_INSIDE(15, cluster, rollout, &rollout_inside),
	/* 16 was a rollout that waited for another */
	PLAIN(17, cluster, last_rollout, UNSIGNED),
	PLAIN(18, cluster, asked_rollout, UNSIGNED),
	PLAIN(19, cluster, alive, UNSIGNED),
	PLAIN(20, cluster, ready, UNSIGNED),
	PLAIN(21, cluster, ended, UNSIGNED),
	PLAIN(22, cluster, ever_ready, BOOL),
	PLAIN(23, cluster, life, UNSIGNED), PLAIN(24, cluster, lived, BOOL),
	PLAIN(25, cluster, was_all_ready, BOOL),
	PLAIN(26, cluster, stopping, BOOL), PLAIN(27, cluster, at_once, BOOL),
	PLAIN(28, cluster, asked_to_stop, BOOL),
	PLAIN(29, cluster, failed, BOOL), PLAIN(30, cluster, end_reported, BOOL),
	PLAIN(31, cluster, status, SIGNED),
	PLAIN_ENUM(32, cluster, state, CLUSTER_FAILED),
	PLAIN(33, cluster, all_ready, BOOL),
	/* 34 was a count of surprises, 43 and 44 a search for gates, 45 of `accept` */
	PLAIN(35, cluster, deaths, UNSIGNED), PLAIN(36, cluster, died, WORDS),
	PLAIN(39, cluster, unfit, UNSIGNED),
	PLAIN(40, cluster, gates[GATE_UNWELL], UNSIGNED),
	PLAIN(41, cluster, gates[GATE_OUTGROWN], UNSIGNED),
	PLAIN(42, cluster, gate_turn, UNSIGNED),
	PLAIN(46, cluster, rescues_from, SIGNED),
	PLAIN(47, cluster, alone, BOOL),
	PLAIN(48, cluster, did, UNSIGNED),
};
/* clang-format on */

static void *make_slot(struct carry_reader *r UNUSED, void *owner)
{
	struct cluster *c = owner;

	return cluster_reserve(c, c->count + 1) == 0 ? &c->slots[c->count++] : NULL;
}

const struct carried carried_slot = {
	.called = "a slot",
	CARRIED_ROWS(slot_rows, slot),
	.make = make_slot,
};

static void *make_generation(struct carry_reader *r UNUSED, void *owner)
{
	struct generations *g = &((struct cluster *)owner)->generations;

	if (generations_reserve(g, g->count + 1) == -1)
		return NULL;
	g->list[g->count] = (struct generation){0};
	return &g->list[g->count++];
}

const struct carried carried_generation = {
	.called = "a generation",
	CARRIED_ROWS(generation_rows, generation),
	.make = make_generation,
};

const struct carried carried_whole = {
	.called = "a cluster's core",
	CARRIED_ROWS(cluster_rows, cluster),
};

static const struct plain_row core_rows[] = {
	CARRY_EACH(CARRY_SLOT, &carried_slot),
	CARRY_EACH(CARRY_GENERATION, &carried_generation),
};

/* With `accept = yes` a worker goes with its connection (accept/visits.c): as to earlier versions,
 * the core has none. */
static void put_core(struct carry_writer *c, const void *of)
{
	struct cluster core = *(const struct cluster *)of;
	bool accept = cluster_settings(of)->accept;

	if (accept)
		core.count = core.alive = core.ready = 0;
	carry_put_one(c, CARRY_CLUSTER, &carried_whole, &core);
	/* earlier versions make room for so many */
	handover_put_u64(&c->w, CARRY_SLOTS, core.count);
	handover_put_u64(&c->w, CARRY_GENERATIONS, core.generations.count);
	for (uint32_t i = 0; i < core.count; i++)
		carry_put_one(c, CARRY_SLOT, &carried_slot, &core.slots[i]);
	for (unsigned i = 0; i < core.generations.count; i++) {
		struct generation g = core.generations.list[i];

		if (accept)
			g.workers = g.serving = 0;
		carry_put_one(c, CARRY_GENERATION, &carried_generation, &g);
	}
}

static int take_core(struct carry_reader *r, void *to, const struct handover_field *f)
{
	return f->tag == CARRY_CLUSTER ? carry_get_one(r, &carried_whole, to, f) : 0;
}

static void *make_core(struct carry_reader *r UNUSED, void *owner UNUSED)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (c != NULL && cluster_reserve(c, 1) == 0)
		return c;
	cluster_free(c);
	return NULL;
}

static int core_done(struct carry_reader *r, void *to)
{
	const char *wrong = cluster_restore(to);

	return wrong == NULL ? 0 : error_set(r->err, 0, "the state does not add up: %s", wrong);
}

const struct carried carried_core = {
	.called = "a cluster's core",
	CARRIED_ROWS(core_rows, cluster),
	.put = put_core,
	.take = take_core,
	.done = core_done,
	.make = make_core,
};
