/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include "core/adopt.h"

/* `accept = yes`: a slot is filled when a connection comes, and not again when its worker ends. */

static uint64_t serials;

static void begin_on_demand(void)
{
	b.s->accept = true;
	b.s->ready = READY_AUTO;
	b.s->stop_timeout = 20 * SECOND;
	b.s->drain_timeout = 10 * SECOND;
	ck_assert_int_eq(cluster_reserve(b.c, 8), 0);
	happens((struct event){.kind = EVENT_TICK});
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	serials = 100;
	forget();
}

static void start_on_demand(void)
{
	prepare(0);
	begin_on_demand();
}

static struct adoption arrival(uint32_t slot)
{
	return (struct adoption){
		.slot = slot,
		.worker = ++serials,
		.generation = cluster_generation(b.c),
		.pid = 500 + (pid_t)slot,
		.now = b.now,
		.born = b.now,
		.ready_at = b.now,
	};
}

static void comes_as(struct adoption a)
{
	ck_assert_uint_eq(cluster_adopt(b.c, &a), a.worker);
	ck_assert_pstr_eq(cluster_check(b.c), NULL);
	settle();
}

static void comes(uint32_t slot)
{
	comes_as(arrival(slot));
}

TEST(who_comes_is_served_and_nothing_is_filled_again)
{
	start_on_demand();
	comes(0);
	comes(1);
	comes(2);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_int_eq(slot_at(1).state, SLOT_READY);
	crashes(1, SLOT_READY);
	exits(2, SLOT_READY, 1);
	ck_assert_uint_eq(cluster_slots(b.c), 1); /* empty ones at the end are gone */
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SPAWN) + actions(ACTION_SIGNAL), 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	comes(1);
	ck_assert_uint_eq(cluster_alive(b.c), 2);
	ck_assert_uint_eq(reports(REPORT_EXITED), 2);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, NSEC_NEVER);
}

TEST(however_many_crash_it_goes_on)
{
	prepare(0);
	b.s->give_up_count = 2;
	b.s->give_up_window = HOUR;
	begin_on_demand();
	for (int i = 0; i < 5; i++) {
		comes(0);
		crashes(0, SLOT_READY);
	}
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(a_stop_gives_them_their_time_then_each_signal_five_seconds_at_most)
{
	start_on_demand();
	comes(0);
	comes(1);
	stop(false);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPING);
	exits(1, SLOT_DRAINING, 0);
	pass(20 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL) + actions(ACTION_DRAIN), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	pass(5 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
	goes(0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPED);
	ck_assert_uint_eq(reports(REPORT_ENDED), 1);
}

TEST_LOOP(a_second_stop_or_one_at_once_kills_them, 0, 2)
{
	start_on_demand();
	comes(0);
	if (_i == 0)
		stop(false);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	stop(_i == 1);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
	goes(0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPED);
}

TEST(those_of_before_a_restart_have_drain_timeout)
{
	start_on_demand();
	comes(0);
	restart();
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	comes(1);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
	ck_assert_int_eq(slot_at(1).state, SLOT_READY);
	ck_assert_uint_eq(generation_of(1), 2);
	pass(10 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	ck_assert_uint_eq(last_action(ACTION_SIGNAL)->slot, 0);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL);
}

TEST(a_stop_leaves_those_of_before_a_restart_no_more_than_stop_timeout)
{
	prepare(0);
	begin_on_demand();
	b.s->drain_timeout = HOUR;
	comes(0);
	restart();
	comes(1);
	pass(MINUTE);
	stop(false);
	pass(20 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 2);
}

TEST(the_end_of_one_is_not_that_of_the_next_in_its_slot)
{
	start_on_demand();
	comes(0);
	comes(1);
	exits(0, SLOT_READY, 1);
	comes(0);
	ck_assert_int_eq(slot_at(0).last.kind, ENDING_NONE);
}

TEST(one_that_takes_too_long_is_stopped_whatever_else_it_has_time_for)
{
	prepare(0);
	b.s->accept_timeout = 15 * SECOND;
	begin_on_demand();
	comes(0);
	pass(12 * SECOND);
	comes(1);
	restart(); /* both have ten seconds more, but for that */
	pass(3 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	goes(0);
	comes(0);
	pass(15 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 3);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_AGE);
	ck_assert_int_eq(last(REPORT_STOPPING)->age, 15 * SECOND);
}

TEST(a_scale_touches_nobody_and_is_over_at_once)
{
	start_on_demand();
	comes(0);
	comes(1);
	scale(1);
	ck_assert_uint_eq(last(REPORT_SCALED)->count, 1);
	ck_assert(cluster_is_settled(b.c));
	scale(4);
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
}

TEST(who_comes_after_a_stop_and_a_new_start_is_served)
{
	start_on_demand();
	comes(0);
	stop(true);
	goes(0);
	restart();
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	comes(0);
	comes(1);
	pass(HOUR);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
}

/* From an upgrade. */
TEST(one_that_was_asked_to_go_goes_on_where_it_was)
{
	struct adoption a;

	start_on_demand();
	b.s->stop_count = 2;
	b.s->stop[1] = (struct stop_step){SIGINT, 3 * SECOND};
	a = arrival(0);
	a.going = SLOT_DRAINING;
	a.due = b.now + 4 * SECOND;
	comes_as(a);
	a = arrival(1);
	a.going = SLOT_STOPPING;
	a.stop_step = 1;
	a.due = b.now + 2 * SECOND;
	comes_as(a);
	a = arrival(2);
	a.going = SLOT_STOPPING;
	a.killed = true;
	a.due = b.now + SECOND;
	comes_as(a);
	ck_assert_uint_eq(actions(ACTION_SIGNAL) + actions(ACTION_KILL), 0);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
	ck_assert(slot_at(2).worker[0].killed);
	pass(SECOND);
	ck_assert_uint_eq(last(REPORT_UNKILLABLE)->slot, 2);
	pass(SECOND);
	ck_assert_uint_eq(last_action(ACTION_KILL)->slot, 1);
	goes(1);
	pass(2 * SECOND);
	ck_assert_int_eq(last_action(ACTION_SIGNAL)->signal, SIGTERM);
	goes(0);
	ck_assert_uint_eq(cluster_alive(b.c), 0);
}
