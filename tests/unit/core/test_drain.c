/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* How an old worker is emptied before its stop signal. */
static struct bench b;

static void start_as(enum drain_mode mode, unsigned slots)
{
	struct cluster_settings *s = bench_settings();

	s->drain = mode;
	s->drain_timeout = 5 * SECOND;
	s->stop[0].wait = 2 * SECOND;
	bench_start(&b, s, slots);
	bench_all_ready(&b);
	bench_forget(&b);
}

static void stop(bool at_once)
{
	bench_do(&b, (struct event){.kind = EVENT_STOP, .at_once = at_once});
}

static void restart(void)
{
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
}

static void end(void)
{
	stop(true);
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (bench_slot(&b, i).workers > 0)
			bench_exit(
				&b, i, SLOT_STOPPING, ENDING_SIGNAL, SIGKILL);
	bench_end(&b);
}

TEST(a_stop_waits_for_a_quiet_moment)
{
	start_as(DRAIN_QUIET, 1);
	stop(false);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_DRAINING);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_int_eq(bench_last_action(&b, ACTION_DRAIN)->span, 5 * SECOND);
	bench_tell(&b, EVENT_DRAINED, 0, 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STOPPING);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(a_worker_that_is_never_quiet_is_stopped_in_the_end)
{
	start_as(DRAIN_QUIET, 1);
	stop(false);
	bench_pass(&b, 5 * SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_pass(&b, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_tell(&b, EVENT_DRAINED, 0, 1); /* too late, and harmless */
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_pass(&b, 2 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 1);
	end();
}

TEST(time_that_nclust_stood_still_is_granted_to_a_drain)
{
	start_as(DRAIN_QUIET, 1);
	stop(false);
	b.now += 60 * SECOND;
	bench_do(&b, (struct event){.kind = EVENT_LATE, .span = 60 * SECOND});
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	end();
}

TEST(stop_now_does_not_drain)
{
	start_as(DRAIN_QUIET, 2);
	stop(true);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 2);
	end();
}

TEST(a_second_stop_ends_a_drain)
{
	start_as(DRAIN_QUIET, 1);
	stop(false);
	stop(false);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 1);
	end();
}

TEST(one_that_ends_while_it_drains_ended_as_asked)
{
	start_as(DRAIN_QUIET, 1);
	stop(false);
	bench_exit(&b, 0, SLOT_DRAINING, ENDING_EXIT, 0);
	ck_assert_int_eq(bench_last(&b, REPORT_EXITED)->why, WHY_STOP);
	ck_assert_uint_eq(bench_actions(&b, ACTION_ENDED), 1);
	end();
}

/* It may serve already, by the sockets that all share. */
TEST(one_that_starts_is_drained_too)
{
	start_as(DRAIN_QUIET, 1);
	bench_exit(&b, 0, SLOT_READY, ENDING_EXIT, 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STARTING);
	stop(false);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_DRAINING);
	end();
}

TEST(one_that_is_not_ready_in_time_is_drained_beside_an_old_one)
{
	start_as(DRAIN_QUIET, 1);
	restart();
	bench_pass(&b, 60 * SECOND);
	ck_assert_int_eq(
		bench_last(&b, REPORT_DRAINING)->why, WHY_START_TIMEOUT);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
	end();
}

TEST(one_that_is_not_ready_in_time_and_alone_is_not_waited_for)
{
	start_as(DRAIN_QUIET, 1);
	bench_exit(&b, 0, SLOT_READY, ENDING_EXIT, 1);
	bench_pass(&b, 60 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	ck_assert_int_eq(
		bench_last(&b, REPORT_STOPPING)->why, WHY_START_TIMEOUT);
	end();
}

TEST(a_server_that_drains_by_itself_gets_its_signal_and_time)
{
	start_as(DRAIN_SIGNAL, 1);
	stop(false);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_pass(&b, 5 * SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 0);
	bench_pass(&b, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 1);
	end();
}

TEST(without_draining_the_signal_comes_at_once_and_its_time_is_its_own)
{
	start_as(DRAIN_OFF, 1);
	stop(false);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_pass(&b, 2 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 1);
	end();
}

TEST(no_time_to_drain_is_no_drain)
{
	start_as(DRAIN_QUIET, 1);
	b.s->drain_timeout = 0;
	stop(false);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(auto_drains_until_it_is_known_that_the_command_is_graceful)
{
	start_as(DRAIN_AUTO, 2);
	bench_tell(&b, EVENT_GRACEFUL, 1, 2);
	restart();
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_exit(&b, 0, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
	bench_ready(&b, 1);
	bench_exit(&b, 1, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
	restart(); /* its successors are of the same command */
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	end();
}

TEST(another_command_has_to_show_anew_that_it_is_graceful)
{
	struct cluster_settings *other = bench_settings();

	other->drain_timeout = SECOND;
	start_as(DRAIN_AUTO, 1);
	bench_tell(&b, EVENT_GRACEFUL, 0, 1);
	bench_do(&b,
		(struct event){
			.kind = EVENT_SETTINGS,
			.settings = other,
			.command_changed = true,
		});
	stop(false);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_DRAINING);
	end();
}

TEST(a_deployed_command_is_not_graceful_because_the_old_one_was)
{
	struct cluster_settings *other = bench_settings();

	other->drain_timeout = SECOND;
	start_as(DRAIN_AUTO, 1);
	bench_tell(&b, EVENT_GRACEFUL, 0, 1);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = other,
			.command_changed = true,
		});
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 0);
	bench_exit(&b, 0, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
	stop(false);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_DRAINING);
	end();
}

TEST(an_old_worker_is_drained_once_its_successor_is_ready)
{
	start_as(DRAIN_QUIET, 2);
	restart();
	bench_ready(&b, 0);
	ck_assert_int_eq(bench_slot(&b, 0).worker[1].state, SLOT_DRAINING);
	ck_assert_int_eq(bench_last(&b, REPORT_DRAINING)->why, WHY_ROLL);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 1);
	bench_tell(&b, EVENT_DRAINED, 0, 1);
	bench_exit(&b, 0, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	end();
}

TEST(a_rollout_that_would_make_too_many_generations_waits_for_drains)
{
	start_as(DRAIN_QUIET, 2);
	b.s->old_generations = 1;
	restart();
	bench_ready(&b, 0);
	restart(); /* three generations would be alive */
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		if (i > 0)
			bench_ready(&b, i);
		bench_pass(&b, 5 * SECOND);
		bench_exit(&b, i, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 2);
	end();
}

TEST(a_slot_scaled_away_is_drained)
{
	start_as(DRAIN_QUIET, 2);
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 1});
	ck_assert_int_eq(bench_slot(&b, 1).state, SLOT_DRAINING);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	end();
}
