/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/carry_workers.h"

#include "supervisor/sockets/carry_sockets.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <stdlib.h>

/* clang-format off */
static const struct plain_row recipe_rows[] = {
	PLAIN(1, recipe, generation, UNSIGNED),
	PLAIN(2, recipe, has_port, BOOL),
	PLAIN_ENUM(3, recipe, runtime, NODE_DENO),
	PLAIN(4, recipe, templates, UNSIGNED),
	PLAIN(5, recipe, entered, HEAP),
	CARRY_REFERENCE(CARRY_INDEX, recipe, settings, CARRY_OF_SETTINGS, true),
	CARRY_TEXTS(CARRY_WORD, recipe, environment),
	CARRY_TEXTS(CARRY_CANDIDATE, recipe, candidates),
	CARRY_BYTES(CARRY_GROUPS, recipe, groups, group_count),
	CARRY_INSIDE(CARRY_SET, recipe, listeners, &carried_set),
	CARRY_REFERENCE(CARRY_MEMORY, recipe, segment, CARRY_OF_SEGMENTS,
		false),
};

static const struct plain_row slotlog_rows[] = {
	PLAIN(1, slotlog, slot, UNSIGNED),
	PLAIN(2, slotlog, number, UNSIGNED),
	PLAIN_MUST(3, slotlog, fd, FD),
};

static const struct plain_row child_rows[] = {
	PLAIN(1, child, worker, UNSIGNED),
	PLAIN(2, child, serial, UNSIGNED),
	PLAIN(3, child, slot, UNSIGNED),
	PLAIN_MUST(4, child, pid, SIGNED),
	PLAIN_MUST(5, child, pidfd, FD),
	PLAIN(6, child, output[0], FD),
	PLAIN(7, child, output[1], FD),
	PLAIN(8, child, life.notify, FD),
	PLAIN(9, child, shown.cpu_then, SIGNED),
	PLAIN(10, child, shown.at, SIGNED),
	PLAIN(11, child, life.killed_by_us, BOOL),
	PLAIN(12, child, life.span_began, SIGNED),
	PLAIN(13, child, life.published, UNSIGNED),
	PLAIN(15, child, life.paused, BOOL),
	PLAIN(16, child, trap.fd, FD),
	PLAIN(17, child, listening.uses, UNSIGNED),
	PLAIN(18, child, listening.listens, UNSIGNED),
	PLAIN(19, child, trap.known_to_listen, BOOL),
	PLAIN(20, child, trap.looks, UNSIGNED),
	PLAIN(21, child, listening.bound_by, SIGNED),
	PLAIN(22, child, trap.listening_by, SIGNED),
	PLAIN(27, child, trap.hostile, BOOL),
	PLAIN(28, child, trap.v6only_known, BOOL),
	PLAIN(29, child, trap.v6only, BOOL),
	PLAIN(30, child, trap.v6only_fd, SIGNED), /* a number in the worker, not a descriptor */
	PLAIN(31, child, generation, UNSIGNED),
	PLAIN(32, child, saved.adopted, BOOL),
	PLAIN(33, child, saved.start, UNSIGNED),
	PLAIN(34, child, traffic.withdrawn, BOOL),
	PLAIN(35, child, traffic.lane, UNSIGNED),
	PLAIN(36, child, listening.ports, UNSIGNED),
	PLAIN(38, child, listening.expected, UNSIGNED),
	PLAIN(39, child, listening.expected_of, UNSIGNED),
	PLAIN(40, child, life.left_out, UNSIGNED),
	PLAIN(45, child, trap.gate_passed, BOOL),
	PLAIN(46, child, trap.gate_count, UNSIGNED),
	PLAIN(55, child, leading.fd, FD),
	PLAIN(60, child, traffic.ran, SIGNED),
	PLAIN(61, child, trap.spare_listens, BOOL),
	PLAIN(62, child, listening.of_generation, UNSIGNED),
	PLAIN(68, child, listening.awaited, BOOL),
	PLAIN(69, child, life.handles, BOOL),
	PLAIN(70, child, life.shell_waits, BOOL),
	PLAIN(71, child, life.stopped_by, SIGNED),
	PLAIN(72, child, life.signal_at, SIGNED),
	PLAIN(73, child, listening.lasting, UNSIGNED),
	PLAIN(74, child, said[0], UNSIGNED), /* 14, 25, 37 and 43 were facts of it */
	PLAIN(75, child, listening.since, SIGNED),
	PLAIN(76, child, listening.unproven, SIGNED),
	PLAIN(77, child, listening.said, BOOL),
	PLAIN(78, child, listening.own, UNSIGNED),
	/* 41 was another one, 42, 44 and 63 to 67 are in struct limited, 47 to 54 in struct gate */
	PLAIN(CARRY_TEXT, child, life.status, HEAP),
	CARRY_LIST(CARRY_PATH, child, life.paths, &carried_path, path, next),
	CARRY_BESIDE(&carried_of_worker),
};

static const struct plain_row service_rows[] = {
	PLAIN_ENUM(2, service, child_slots, 2 * WORKERS_MAX),
	PLAIN(3, service, stage.leaving, BOOL),
	PLAIN(4, service, life.stop_signal, SIGNED),
	PLAIN(5, service, stage.ended, BOOL),
	PLAIN(6, service, stage.started_once, BOOL),
	PLAIN(9, service, stage.status, SIGNED),
	PLAIN(10, service, stage.scaled, BOOL),
	PLAIN(12, service, last_rollout.of, UNSIGNED),
	PLAIN(13, service, last_rollout.failed, BOOL),
	PLAIN(15, service, saved.number, UNSIGNED), /* 16 to 18 were other members */
	PLAIN(20, service, message_turn, UNSIGNED),
	PLAIN(21, service, counters.started, UNSIGNED),
	PLAIN(22, service, counters.exits, WORDS),
	PLAIN(23, service, counters.ready, UNSIGNED),
	PLAIN(24, service, counters.ready_time, SIGNED),
	PLAIN(25, service, counters.rollouts, WORDS),
	PLAIN(26, service, counters.rollout_time, SIGNED),
	PLAIN(27, service, counters.rollout_since, SIGNED),
	PLAIN(28, service, counters.drained, UNSIGNED),
	PLAIN(29, service, counters.drains_forced, UNSIGNED),
	PLAIN(30, service, counters.drain_time, SIGNED),
	PLAIN(31, service, counters.hangs, UNSIGNED),
	PLAIN(32, service, counters.log_lines_dropped, UNSIGNED),
	PLAIN(33, service, life.drop_known, UNSIGNED),
	PLAIN(34, service, counters.log_lines, UNSIGNED),
	PLAIN(35, service, outage.since, SIGNED),
	PLAIN(36, service, outage.next_try, SIGNED),
	PLAIN(37, service, outage.crashed, BOOL),
	PLAIN(38, service, outage.answered, BOOL),
	PLAIN(39, service, outage.answers, UNSIGNED),
	PLAIN(40, service, leadership.fd, FD),
	PLAIN(41, service, leadership.serial, UNSIGNED),
	PLAIN(42, service, leadership.blocked, BOOL),
	PLAIN(43, service, outage.active, BOOL),
	PLAIN(45, service, stage.waits, BOOL),
	PLAIN(46, service, stage.stop_asked, BOOL),
	PLAIN(54, service, asks.check, TEXT), /* 50 to 53 were members of earlier releases */
	PLAIN(55, service, asks.passed, UNSIGNED),
	PLAIN(56, service, asks.blamed, UNSIGNED),
	PLAIN(60, service, watched, SIGNED),
	PLAIN(62, service, said[0], UNSIGNED), /* 1, 7, 8, 14, 19 and 44 were facts of it, and 61 is a
						  fact of recipes */
	PLAIN(63, service, last_scale.of, UNSIGNED),
	PLAIN(64, service, counters.handed_on, UNSIGNED),
	PLAIN(65, service, life.daemons, WORDS),
	PLAIN_MUST(CARRY_TEXT, service, name, HEAP),
	PLAIN(CARRY_OUTCOME, service, last_rollout.text, HEAP),
	CARRY_BESIDE(&carried_of_cluster),
};
/* clang-format on */

/* ---- recipes ---- */

static int recipe_done(struct carry_reader *r, void *to)
{
	struct recipe *recipe = to;

	if (recipe->candidates.count == 0)
		return -1;
	recipe_limits(recipe, &r->sup->births.nofile);
	return 0;
}

const struct carried carried_recipe = {
	.called = "a generation",
	CARRIED_ROWS(recipe_rows, recipe),
	.done = recipe_done,
};

/* ---- slotlogs ---- */

static const struct carried carried_slotlog = {
	.called = "kept output",
	CARRIED_ROWS(slotlog_rows, slotlog),
};

/* ---- a worker ---- */

static int child_done(struct carry_reader *r UNUSED, void *to)
{
	return child_settle(to);
}

/* Make room for the children of all slots, when the number of slots has been read. */
static int reserve_slots(struct service *s)
{
	if (s->children != NULL || s->child_slots == 0)
		return 0;
	s->children = calloc(s->child_slots, sizeof(*s->children));
	return s->children != NULL ? 0 : -1;
}

static void *make_child(struct carry_reader *r UNUSED, void *owner)
{
	return reserve_slots(owner) == 0 ? child_new(owner) : NULL;
}

const struct carried carried_child = {
	.called = "a worker",
	CARRIED_ROWS(child_rows, child),
	.done = child_done,
	.make = make_child,
};

static void put_children(struct carry_writer *c, const void *of)
{
	const struct child *child;

	if (c->w.out == NULL)
		return; /* the first pass: workers refer to no shared struct */
	for_each_child (child, children_of(of))
		carry_put_one(c, CARRY_CHILD, &carried_child, child);
}

static const struct plain_row children_rows[] = {
	CARRY_EACH(CARRY_CHILD, &carried_child),
};

const struct carried carried_children = {
	CARRIED_ROWS(children_rows, service),
	.put = put_children,
};

/* ---- a cluster ---- */

/* Ignore members of the cluster that come after its children: child_slots must not change any
 * more. */
static int take_service(struct carry_reader *r UNUSED, void *to, const struct handover_field *f)
{
	return ((struct service *)to)->children != NULL && f->tag < CARRY_TEXT;
}

static int service_done(struct carry_reader *r UNUSED, void *to)
{
	struct service *s = to;

	return s->core != NULL && reserve_slots(s) == 0 && s->child_slots >= cluster_slots(s->core)
		? 0
		: -1;
}

const struct carried carried_service = {
	.called = "a cluster",
	CARRIED_ROWS(service_rows, service),
	.take = take_service,
	.done = service_done,
};

/* ---- listeners, memory, recipes and slotlogs ---- */

/* Recipes and slotlogs: newest first, in the state as in the lists. */
static const struct plain_row holdings_rows[] = {
	CARRY_INSIDE(CARRY_SET, service, sockets.listeners, &carried_set),
	CARRY_INSIDE(CARRY_LEARNED, service, sockets.learned, &carried_learned),
	CARRY_REFERENCE(CARRY_MEMORY, service, sockets.segment, CARRY_OF_SEGMENTS, false),
	CARRY_REFERENCE(CARRY_FORMER, service, sockets.former, CARRY_OF_SEGMENTS, false),
	CARRY_LIST(CARRY_RECIPE, service, life.recipes, &carried_recipe, recipe, next),
	CARRY_LIST(CARRY_SLOTLOG, service, life.logs, &carried_slotlog, slotlog, next),
};

const struct carried carried_holdings = {
	CARRIED_ROWS(holdings_rows, service),
};

/* ---- all clusters ---- */

static void put_services(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;

	for (size_t i = 0; i < sup->service_count; i++)
		carry_put_one(c, CARRY_SERVICE, &carried_service, sup->services[i]);
}

static int take_services(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct service *s;

	if (f->tag != CARRY_SERVICE)
		return 0;
	s = service_carried(to);
	if (carry_get_one(r, &carried_service, s, f) == 1)
		return 1;
	return error_wrap(r->err, "cluster '%s'", s != NULL && s->name != NULL ? s->name : "?");
}

const struct carried carried_services = {
	.put = put_services,
	.take = take_services,
};
