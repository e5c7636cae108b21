/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include "core/adopt.h"

static uint64_t adopt(uint32_t slot, unsigned generation, bool ready)
{
	const struct adoption a = {
		.slot = slot,
		.generation = generation,
		.pid = 500 + (pid_t)slot,
		.restarts = 3,
		.now = b.now,
		.born = b.now - 50 * SECOND,
		.ready_at = ready ? b.now - 40 * SECOND : NSEC_NEVER,
	};
	uint64_t id = cluster_adopt(b.c, &a);

	ck_assert_pstr_eq(cluster_check(b.c), NULL);
	return id;
}

TEST(who_lives_is_not_born_again)
{
	struct slot_view v;

	prepare(3);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 7, true, false), 0);
	ck_assert_uint_ne(adopt(0, 7, true), 0);
	ck_assert_uint_ne(adopt(2, 7, true), 0);
	settle();

	ck_assert_uint_eq(actions(ACTION_SPAWN), 1); /* slot 1 */
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	ck_assert_uint_eq(cluster_generation(b.c), 7);
	ck_assert(cluster_knows_notify(b.c));
	v = slot_at(2);
	ck_assert_int_eq(v.worker[0].pid, 502);
	ck_assert_int_eq(v.state, SLOT_READY);
	ck_assert_int_eq(v.worker[0].born, 50 * SECOND);
	ck_assert_int_eq(v.worker[0].ready_at, 60 * SECOND);
	ck_assert_uint_eq(v.restarts, 3);
}

TEST(one_that_starts_has_the_time_to_become_ready)
{
	uint64_t id;

	prepare(1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 1, false, false), 0);
	id = adopt(0, 1, false);
	settle();
	pass(59 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	happens((struct event){.kind = EVENT_READY, .worker = id});
	ck_assert_uint_eq(cluster_ready(b.c), 1);
}

TEST(one_that_need_not_say_so_is_ready_by_its_age)
{
	b.s->ready = READY_ALIVE;
	prepare(1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 1, false, false), 0);
	(void)adopt(0, 1, false);
	settle();
	ck_assert_uint_eq(cluster_ready(b.c), 1);
}

TEST(of_two_in_a_slot_the_newer_one_stays)
{
	uint64_t old;

	prepare(1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 5, true, false), 0);
	old = adopt(0, 4, true);
	ck_assert_uint_ne(adopt(0, 5, true), 0);
	ck_assert_uint_eq(adopt(0, 5, true), 0); /* no room */
	settle();
	ck_assert_uint_eq(actions(ACTION_SPAWN), 0);
	for (unsigned i = 0; i < b.count; i++)
		if (b.kept[i].kind == ACTION_SIGNAL || b.kept[i].kind == ACTION_DRAIN)
			ck_assert_uint_eq(b.kept[i].worker, old);
	ck_assert_uint_eq(actions(ACTION_SIGNAL) + actions(ACTION_DRAIN), 1);
}

/* Whoever is asked to go goes, whoever is born becomes ready. */
static void oblige(void)
{
	for (unsigned i = 0; i < b.count; i++) {
		const struct action *a = &b.kept[i];
		struct event e = {
			.slot = a->slot, .worker = a->worker, .ending = {.kind = ENDING_EXIT}};

		ck_assert(a->kind != ACTION_REPORT || a->report.kind != REPORT_SURPRISE);
		if (a->kind == ACTION_SPAWN)
			e.kind = EVENT_READY;
		else if (a->kind == ACTION_DRAIN)
			e.kind = EVENT_DRAINED;
		else if (a->kind == ACTION_SIGNAL || a->kind == ACTION_KILL)
			e.kind = EVENT_EXITED;
		else
			continue;
		happens(e);
	}
	forget();
}

TEST(generations_of_before_are_rolled)
{
	prepare(3);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 9, true, false), 0);
	/* in any order */
	ck_assert_uint_ne(adopt(0, 8, true), 0);
	ck_assert_uint_ne(adopt(1, 3, true), 0);
	ck_assert_uint_ne(adopt(2, 5, true), 0);
	ck_assert_uint_eq(adopt(2, 10, true), 0); /* not yet */
	settle();
	restart();
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
	for (int turn = 0; turn < 3; turn++)
		oblige();
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(generation_of(i), 10);
	ck_assert_uint_eq(cluster_generation(b.c), 10);
}

TEST(it_must_come_first)
{
	start(1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 2, true, false), -1);
}
