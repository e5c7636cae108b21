/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* How an old worker is emptied before its stop signal. */

static void start_draining(enum drain_mode mode, unsigned slots)
{
	b.s->drain = mode;
	b.s->drain_timeout = 5 * SECOND;
	b.s->stop[0].timeout = 2 * SECOND;
	start_ready(slots);
}

TEST(a_stop_waits_for_a_quiet_moment)
{
	start_draining(DRAIN_QUIET, 1);
	stop(false);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_int_eq(last_action(ACTION_DRAIN)->span, 5 * SECOND);
	tell(EVENT_DRAINED, 0, 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_STOPPING);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST(a_worker_that_is_never_quiet_is_stopped_in_the_end)
{
	start_draining(DRAIN_QUIET, 1);
	stop(false);
	pass(5 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	tell(EVENT_DRAINED, 0, 1); /* too late, and harmless */
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	pass(2 * SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST(one_that_is_not_ready_in_time_is_drained_beside_an_old_one)
{
	start_draining(DRAIN_QUIET, 1);
	restart();
	pass(60 * SECOND);
	ck_assert_int_eq(last(REPORT_DRAINING)->why, WHY_START_TIMEOUT);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
}

TEST(one_that_is_not_ready_in_time_and_alone_is_not_waited_for)
{
	start_draining(DRAIN_QUIET, 1);
	exits(0, SLOT_READY, 1);
	pass(60 * SECOND);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_START_TIMEOUT);
}

/* One that drains after its signal has the time for it. */
TEST_LOOP(without_a_drain_the_signal_comes_at_once, 0, 3)
{
	static const struct {
		enum drain_mode mode;
		nsec_t timeout, wait;
	} rows[] = {
		{DRAIN_SIGNAL, 5 * SECOND, 5 * SECOND},
		{DRAIN_OFF, 5 * SECOND, 2 * SECOND},
		{DRAIN_QUIET, 0, 2 * SECOND},
	};

	start_draining(rows[_i].mode, 1);
	b.s->drain_timeout = rows[_i].timeout;
	stop(false);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	pass(rows[_i].wait - 1);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST_LOOP(a_stop_at_once_ends_a_drain_or_needs_none, 0, 2)
{
	start_draining(DRAIN_QUIET, 2);
	if (_i == 0)
		stop(false);
	stop(true);
	ck_assert_uint_eq(actions(ACTION_DRAIN), _i == 0 ? 2 : 0);
	ck_assert_uint_eq(actions(ACTION_KILL), 2);
}

TEST_LOOP(an_old_worker_is_drained_once_its_successor_is_ready, 0, 2)
{
	start_draining(_i == 0 ? DRAIN_QUIET : DRAIN_AUTO, 2);
	restart();
	gets_ready(0);
	ck_assert_int_eq(slot_at(0).worker[1].state, SLOT_DRAINING);
	ck_assert_int_eq(last(REPORT_DRAINING)->why, WHY_ROLL);
	ck_assert_uint_eq(slot_at(1).workers, 1);
	tell(EVENT_DRAINED, 0, 1);
	goes(0);
	ck_assert_uint_eq(slot_at(1).workers, 2);
}
