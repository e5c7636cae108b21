/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* How an old worker is emptied before its stop signal. */

static void start_draining(enum drain_mode mode, unsigned slots)
{
	b.s->drain = mode;
	b.s->drain_timeout = 5 * SECOND;
	b.s->stop[0].wait = 2 * SECOND;
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

TEST(time_that_nclust_stood_still_is_granted_to_a_drain)
{
	start_draining(DRAIN_QUIET, 1);
	stop(false);
	stand_still(60 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
}

TEST(stop_now_does_not_drain)
{
	start_draining(DRAIN_QUIET, 2);
	stop(true);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_uint_eq(actions(ACTION_KILL), 2);
}

TEST(a_second_stop_ends_a_drain)
{
	start_draining(DRAIN_QUIET, 1);
	stop(false);
	stop(false);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST(one_that_ends_while_it_drains_ended_as_asked)
{
	start_draining(DRAIN_QUIET, 1);
	stop(false);
	exits(0, SLOT_DRAINING, 0);
	ck_assert_int_eq(last(REPORT_EXITED)->why, WHY_STOP);
	ck_assert_uint_eq(actions(ACTION_ENDED), 1);
}

/* It may serve already, by the sockets that all share. */
TEST(one_that_starts_is_drained_too)
{
	start_draining(DRAIN_QUIET, 1);
	exits(0, SLOT_READY, 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	stop(false);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
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

TEST(a_server_that_drains_by_itself_gets_its_signal_and_time)
{
	start_draining(DRAIN_SIGNAL, 1);
	stop(false);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	pass(5 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST(without_draining_the_signal_comes_at_once_and_its_time_is_its_own)
{
	start_draining(DRAIN_OFF, 1);
	stop(false);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	pass(2 * SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST(no_time_to_drain_is_no_drain)
{
	start_draining(DRAIN_QUIET, 1);
	b.s->drain_timeout = 0;
	stop(false);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST(auto_drains_until_it_is_known_that_the_command_is_graceful)
{
	start_draining(DRAIN_AUTO, 2);
	tell(EVENT_GRACEFUL, 1, 2);
	restart();
	gets_ready(0);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	goes(0);
	gets_ready(1);
	goes(1);
	restart(); /* its successors are of the same command */
	gets_ready(0);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
}

TEST(another_command_has_to_show_anew_that_it_is_graceful)
{
	struct cluster_settings *other = plain_settings();

	other->drain_timeout = SECOND;
	start_draining(DRAIN_AUTO, 1);
	tell(EVENT_GRACEFUL, 0, 1);
	change(other, true);
	stop(false);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
}

TEST(a_deployed_command_is_not_graceful_because_the_old_one_was)
{
	struct cluster_settings *other = plain_settings();

	other->drain_timeout = SECOND;
	start_draining(DRAIN_AUTO, 1);
	tell(EVENT_GRACEFUL, 0, 1);
	deploy_so(other, (struct event){.command_changed = true});
	gets_ready(0);
	ck_assert_uint_eq(actions(ACTION_DRAIN), 0);
	goes(0);
	stop(false);
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
}

TEST(an_old_worker_is_drained_once_its_successor_is_ready)
{
	start_draining(DRAIN_QUIET, 2);
	restart();
	gets_ready(0);
	ck_assert_int_eq(slot_at(0).worker[1].state, SLOT_DRAINING);
	ck_assert_int_eq(last(REPORT_DRAINING)->why, WHY_ROLL);
	ck_assert_uint_eq(slot_at(1).workers, 1);
	tell(EVENT_DRAINED, 0, 1);
	goes(0);
	ck_assert_uint_eq(slot_at(1).workers, 2);
}

TEST(a_rollout_that_would_make_too_many_generations_waits_for_drains)
{
	start_draining(DRAIN_QUIET, 2);
	b.s->old_generations = 1;
	restart();
	gets_ready(0);
	restart(); /* three generations would be alive */
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		if (i > 0)
			gets_ready(i);
		pass(5 * SECOND);
		goes(i);
	}
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 2);
}

TEST(a_slot_scaled_away_is_drained)
{
	start_draining(DRAIN_QUIET, 2);
	scale(1);
	ck_assert_int_eq(slot_at(1).state, SLOT_DRAINING);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
}
