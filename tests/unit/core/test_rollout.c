/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include "core/inside.h"

static struct bench b;
static struct cluster_settings *fresh; /* what is rolled out */

static void start_ready(struct cluster_settings *s, unsigned slots)
{
	bench_start(&b, s, slots);
	bench_all_ready(&b);
	bench_forget(&b);
}

static void roll_slot(uint32_t slot, struct cluster_settings *settings)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = slot,
			.settings = settings,
		});
}

/* The same command again. */
static void restart(void)
{
	roll_slot(SLOT_ALL, NULL);
}

/* Other settings; the test keeps a reference. */
static void deploy(void)
{
	fresh = bench_settings();
	roll_slot(SLOT_ALL, cluster_settings_ref(fresh));
}

static unsigned generation_of(uint32_t slot)
{
	return bench_slot(&b, slot).worker[0].generation;
}

static void old_one_goes(uint32_t slot)
{
	bench_exit(&b, slot, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
}

static void step_through(uint32_t slot)
{
	bench_ready(&b, slot);
	old_one_goes(slot);
}

static void end(void)
{
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (bench_slot(&b, i).workers > 0)
			old_one_goes(i);
	ck_assert_uint_eq(bench_actions(&b, ACTION_ENDED), 1);
	bench_end(&b);
}

/* ---- `before` ---- */

/* Settings with such a command are rolled out. */
static void deploy_with_command(void)
{
	fresh = bench_settings();
	fresh->before.text = strdup("migrate");
	roll_slot(SLOT_ALL, cluster_settings_ref(fresh));
}

static void command_ends(unsigned rollout, enum why why)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_PREPARED,
			.count = rollout,
			.why = why,
		});
}

static struct rollout_view rollout_now(void)
{
	struct rollout_view view;

	cluster_view_rollout(b.c, &view);
	return view;
}

/* Memory is for as many as are beside another at a time. */
TEST(one_slot_after_the_other_needs_room_for_one_more)
{
	start_ready(bench_settings(), 4);
	deploy();
	for (uint32_t slot = 0; slot < 4; slot++)
		step_through(slot);
	ck_assert(!rollout_now().under_way);
	ck_assert_uint_eq(b.c->beside.used, 2);
	end();
	cluster_settings_unref(fresh);
}

TEST(nothing_is_replaced_before_its_command_has_ended)
{
	start_ready(bench_settings(), 2);
	deploy_with_command();
	ck_assert(rollout_now().unprepared);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	bench_exit(&b, 0, SLOT_READY, ENDING_SIGNAL, SIGSEGV);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(generation_of(0), 1); /* it comes back as it was */
	bench_ready(&b, 0);

	command_ends(99, WHY_ITSELF); /* of another one */
	ck_assert(rollout_now().unprepared);
	command_ends(1, WHY_ITSELF);
	ck_assert(!rollout_now().unprepared);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	end();
	cluster_settings_unref(fresh);
}

TEST(a_command_that_fails_leaves_all_as_it_was)
{
	start_ready(bench_settings(), 2);
	deploy_with_command();
	command_ends(1, WHY_BEFORE);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_BEFORE);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->others, 2);
	ck_assert(!rollout_now().under_way);
	ck_assert_uint_eq(cluster_generation(b.c), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	end();
	cluster_settings_unref(fresh);
}

TEST(another_rollout_waits_for_the_command_of_the_first)
{
	start_ready(bench_settings(), 1);
	deploy_with_command();
	restart();
	ck_assert_uint_eq(rollout_now().id, 1);
	command_ends(1, WHY_BEFORE);
	ck_assert_uint_eq(rollout_now().id, 2);
	ck_assert(!rollout_now().unprepared); /* as before, without one */
	step_through(0);
	end();
	cluster_settings_unref(fresh);
}

TEST(a_first_start_whose_command_fails_is_given_up)
{
	bench_start(&b, bench_settings(), 1);
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 1);
	command_ends(0, WHY_BEFORE);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_FAILED);
	ck_assert_uint_eq(bench_actions(&b, ACTION_ENDED), 1);
	bench_end(&b);
}

/* ---- the good way ---- */

TEST(the_new_one_is_ready_before_the_old_one_is_asked_to_go)
{
	start_ready(bench_settings(), 2);
	restart();
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_ROLLING);
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	end();
}

TEST(the_next_step_waits_for_the_old_one_to_be_gone)
{
	start_ready(bench_settings(), 2);
	restart();
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STEP), 0);
	old_one_goes(0);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_STEP)->count, 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_STEP)->others, 2);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	ck_assert_uint_eq(bench_rollout(&b).slot, 1);
	end();
}

TEST(a_rollout_ends_with_all_new_and_restarts_uncounted)
{
	start_ready(bench_settings(), 3);
	restart();
	for (uint32_t i = 0; i < 3; i++)
		step_through(i);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_DONE)->rollout,
		cluster_last_rollout(b.c));
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(generation_of(i), 2);
		ck_assert_uint_eq(bench_slot(&b, i).restarts, 0);
	}
	end();
}

TEST(surge_rolls_that_many_at_a_time)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 3;
	start_ready(s, 5);
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 8);
	bench_ready(&b, 1);
	ck_assert_uint_eq(cluster_alive(b.c), 8);
	old_one_goes(1);
	ck_assert_uint_eq(cluster_alive(b.c), 8);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 2);
	end();
}

TEST(without_surge_the_old_one_goes_first)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 0;
	s->max_unavailable = 1;
	start_ready(s, 2);
	restart();
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 0);
	old_one_goes(0);
	ck_assert_uint_eq(generation_of(0), 2);
	ck_assert_int_eq(bench_slot(&b, 1).state, SLOT_READY);
	bench_ready(&b, 0);
	ck_assert_int_eq(bench_slot(&b, 1).state, SLOT_STOPPING);
	end();
}

TEST(no_more_are_missing_than_allowed_even_if_one_died_by_itself)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 0;
	s->max_unavailable = 1;
	start_ready(s, 3);
	bench_exit(&b, 2, SLOT_READY, ENDING_EXIT, 1);
	restart(); /* the slot without a ready one comes first */
	ck_assert_int_eq(bench_slot(&b, 2).state, SLOT_STOPPING);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	old_one_goes(2);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	bench_ready(&b, 2);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	end();
}

TEST(an_empty_slot_comes_first_and_needs_no_wait)
{
	start_ready(bench_settings(), 2);
	bench_exit(&b, 1, SLOT_READY, ENDING_EXIT, 1);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 1);
	ck_assert_int_eq(bench_slot(&b, 1).state, SLOT_BACKOFF);
	restart();
	ck_assert_uint_eq(generation_of(1), 2);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	end();
}

TEST(the_oldest_generation_comes_next)
{
	start_ready(bench_settings(), 3);
	roll_slot(0, NULL);
	step_through(0);
	roll_slot(1, NULL);
	step_through(1);
	ck_assert_uint_eq(generation_of(1), 3);
	restart();
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	step_through(2);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	step_through(0);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	end();
}

static void be_busy(uint32_t slot, bool busy)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_BUSY,
			.slot = slot,
			.worker = bench_worker(&b, slot, SLOT_READY),
			.held = busy,
		});
}

TEST(those_that_are_idle_come_first)
{
	start_ready(bench_settings(), 4);
	be_busy(0, true);
	be_busy(1, true);
	be_busy(3, true);
	be_busy(3, false);
	restart();
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	step_through(2);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 2);
	step_through(3);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	be_busy(1, false); /* its turn has come all the same */
	step_through(0);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	step_through(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(ended_slots_are_not_waited_for)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 0;
	s->max_unavailable = 1;
	s->restart = RESTART_ON_FAILURE;
	start_ready(s, 3);
	restart();
	old_one_goes(0);
	bench_ready(&b, 0);
	bench_exit(&b, 0, SLOT_READY, ENDING_EXIT, 0);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_ENDED);
	old_one_goes(1);
	bench_ready(&b, 1);
	ck_assert_int_eq(bench_slot(&b, 2).state, SLOT_STOPPING);
	end();
}

TEST(among_many_slots_the_search_goes_on_by_itself)
{
	start_ready(bench_settings(), 700);
	restart();
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	end();
}

TEST(one_slot_can_be_rolled_alone)
{
	start_ready(bench_settings(), 3);
	roll_slot(1, NULL);
	ck_assert_uint_eq(bench_rollout(&b).of, 1);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	step_through(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(generation_of(0), 1);
	ck_assert_uint_eq(generation_of(1), 2);
	end();
}

/* ---- failures ---- */

TEST(the_first_failure_stops_it_and_the_old_ones_serve_on)
{
	const struct report *r;

	start_ready(bench_settings(), 2);
	restart();
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 3);
	r = bench_last(&b, REPORT_ROLLOUT_FAILED);
	ck_assert_uint_eq(r->slot, 0);
	ck_assert_int_eq(r->ending.code, 3);
	ck_assert_int_eq(r->why, WHY_ITSELF);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_pass(&b, HOUR);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 1);
	end();
}

TEST(a_new_one_that_is_not_ready_in_time_has_failed)
{
	start_ready(bench_settings(), 1);
	restart();
	bench_pass(&b, 60 * SECOND);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	old_one_goes(0);
	ck_assert_uint_eq(generation_of(0), 1);
	end();
}

TEST(a_failed_spawn_stops_it_too)
{
	start_ready(bench_settings(), 1);
	b.failing = 1;
	b.failure = (struct ending){
		.kind = ENDING_SPAWN, .permanent = true, .exit_status = 126};
	restart();
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->ending.kind,
		ENDING_SPAWN);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	end();
}

TEST(a_new_one_that_dies_after_its_step_has_failed)
{
	start_ready(bench_settings(), 3);
	restart();
	step_through(0);
	bench_exit(&b, 0, SLOT_READY, ENDING_EXIT, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->slot, 0);
	ck_assert_uint_eq(generation_of(2), 1);
	end();
}

TEST(a_death_for_memory_is_a_failure_and_then_there_is_a_moment)
{
	start_ready(bench_settings(), 2);
	restart();
	bench_ready(&b, 0);
	bench_do(&b,
		(struct event){
			.kind = EVENT_EXITED,
			.worker = bench_worker(&b, 0, SLOT_READY),
			.ending = {.kind = ENDING_SIGNAL,
				.code = SIGKILL,
				.out_of_memory = true},
		});
	ck_assert_int_eq(bench_last(&b, REPORT_EXITED)->wait, 50 * MSEC);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	bench_pass(&b, 50 * MSEC);
	bench_ready(&b, 0);
	end();
}

TEST(after_a_failure_with_the_same_settings_the_new_ones_stay)
{
	start_ready(bench_settings(), 3);
	restart();
	step_through(0);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 3);
	ck_assert(!bench_rollout(&b).under_way);
	ck_assert_uint_eq(generation_of(0), 2);
	ck_assert_uint_eq(generation_of(1), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	end();
}

TEST(after_a_failure_with_new_settings_all_goes_back)
{
	start_ready(bench_settings(), 3);
	deploy();
	step_through(0);
	ck_assert_ptr_eq(bench_rollout(&b).settings, fresh);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 3);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert(bench_rollout(&b).going_back);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert_ptr_eq(bench_last_action(&b, ACTION_SPAWN)->settings, b.s);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	step_through(0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(generation_of(0), 3);
	ck_assert_uint_eq(generation_of(1), 1);
	ck_assert_uint_eq(fresh->refs, 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	cluster_settings_unref(fresh);
	end();
}

TEST(if_nothing_was_replaced_yet_there_is_no_way_back_to_go)
{
	start_ready(bench_settings(), 2);
	deploy();
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 3);
	ck_assert(!bench_rollout(&b).under_way);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 1);
	ck_assert_uint_eq(fresh->refs, 1);
	cluster_settings_unref(fresh);
	end();
}

TEST(new_ones_that_are_not_ready_yet_are_removed)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 2;
	start_ready(s, 3);
	restart();
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 3);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	ck_assert_uint_eq(bench_last(&b, REPORT_STOPPING)->slot, 1);
	bench_tell(&b, EVENT_READY, 1, bench_worker(&b, 1, SLOT_STOPPING));
	old_one_goes(1);
	ck_assert_uint_eq(cluster_ready(b.c), 3);
	ck_assert_uint_eq(generation_of(1), 1);
	end();
}

TEST(a_way_back_that_fails_ends_too)
{
	start_ready(bench_settings(), 2);
	deploy();
	step_through(0);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 3);
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 3);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 2);
	ck_assert(!bench_rollout(&b).under_way);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	end();
	cluster_settings_unref(fresh);
}

/* ---- deaths beside it ---- */

TEST(a_successor_takes_the_place_of_an_old_one_that_dies)
{
	start_ready(bench_settings(), 2);
	restart();
	bench_forget(&b);
	bench_exit(&b, 0, SLOT_READY, ENDING_SIGNAL, SIGKILL);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 0);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STEP), 1);
	end();
}

TEST(a_slot_before_its_turn_is_filled_as_before)
{
	start_ready(bench_settings(), 2);
	deploy();
	bench_exit(&b, 1, SLOT_READY, ENDING_SIGNAL, SIGKILL);
	ck_assert_ptr_eq(bench_last_action(&b, ACTION_SPAWN)->settings, b.s);
	ck_assert_uint_eq(generation_of(1), 1);
	end();
	cluster_settings_unref(fresh);
}

TEST(who_is_not_well_after_its_turn_is_replaced_by_a_new_one)
{
	start_ready(bench_settings(), 2);
	deploy();
	step_through(0);
	bench_do(&b,
		(struct event){
			.kind = EVENT_UNWELL,
			.worker = bench_worker(&b, 0, SLOT_READY),
			.why = WHY_CHECK,
		});
	ck_assert_ptr_eq(bench_last_action(&b, ACTION_SPAWN)->settings, fresh);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 0);
	end();
	cluster_settings_unref(fresh);
}

/* ---- several requests ---- */

TEST(a_second_request_supersedes_the_first)
{
	unsigned first;

	start_ready(bench_settings(), 2);
	restart();
	first = cluster_last_rollout(b.c);
	deploy();
	ck_assert_uint_eq(
		bench_last(&b, REPORT_ROLLOUT_SUPERSEDED)->rollout, first);
	ck_assert_uint_gt(cluster_last_rollout(b.c), first);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	old_one_goes(0); /* the starting one of the first */
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_DONE)->rollout,
		cluster_last_rollout(b.c));
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
	end();
	cluster_settings_unref(fresh);
}

TEST(a_restart_during_a_deployment_keeps_its_settings)
{
	start_ready(bench_settings(), 1);
	deploy();
	restart();
	old_one_goes(0);
	step_through(0);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
	end();
	cluster_settings_unref(fresh);
}

TEST(what_would_make_too_many_generations_waits)
{
	struct cluster_settings *s = bench_settings();
	unsigned third;

	s->old_generations = 1;
	start_ready(s, 3);
	restart();
	step_through(0);
	restart(); /* would leave two old ones alive */
	third = cluster_last_rollout(b.c);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 1);
	restart();
	ck_assert_uint_eq(
		bench_last(&b, REPORT_ROLLOUT_SUPERSEDED)->rollout, third);
	step_through(1);
	step_through(2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_STARTED)->rollout,
		cluster_last_rollout(b.c));
	end();
}

TEST(who_waits_is_not_overtaken)
{
	struct cluster_settings *s = bench_settings();
	struct cluster_settings *first;

	s->old_generations = 1;
	start_ready(s, 2);
	restart();
	restart();
	deploy(); /* waits for the worker of the first restart to go */
	first = fresh;
	old_one_goes(0);
	deploy(); /* could begin now, and the other would come last */
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 2);
	for (uint32_t i = 0; i < 4; i++)
		step_through(i % 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 2);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
	ck_assert_uint_eq(first->refs, 1);
	cluster_settings_unref(first);
	end();
	cluster_settings_unref(fresh);
}

TEST(one_slots_restart_does_not_end_that_of_all)
{
	start_ready(bench_settings(), 2);
	restart();
	roll_slot(0, NULL);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_SUPERSEDED), 0);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	end();
}

/* ---- stop, scale, settings ---- */

TEST(a_stop_wins)
{
	start_ready(bench_settings(), 2);
	deploy();
	end();
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_STOP);
	ck_assert_uint_eq(fresh->refs, 1);
	cluster_settings_unref(fresh);
}

TEST(a_request_while_stopping_is_refused)
{
	start_ready(bench_settings(), 1);
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	deploy();
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->rollout,
		cluster_last_rollout(b.c));
	ck_assert_uint_eq(fresh->refs, 1);
	cluster_settings_unref(fresh);
}

TEST(a_restart_starts_a_stopped_cluster)
{
	start_ready(bench_settings(), 2);
	bench_do(&b, (struct event){.kind = EVENT_STOP, .at_once = true});
	old_one_goes(0);
	old_one_goes(1);
	bench_forget(&b);
	deploy();
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 2);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STARTING);
	bench_all_ready(&b);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
	bench_forget(&b);
	end();
	cluster_settings_unref(fresh);
}

TEST(scaling_down_takes_slots_out_of_a_rollout)
{
	start_ready(bench_settings(), 3);
	restart();
	step_through(0);
	step_through(1);
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 1});
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	end();
}

TEST(slots_that_come_during_a_rollout_are_part_of_it)
{
	start_ready(bench_settings(), 1);
	ck_assert_int_eq(cluster_reserve(b.c, 2), 0);
	deploy();
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 2});
	ck_assert_uint_eq(generation_of(1), 1);
	bench_ready(&b, 1);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(generation_of(1), 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
	cluster_settings_unref(fresh);
}

TEST(settings_without_a_rollout_hold_for_who_runs)
{
	struct cluster_settings *other = bench_settings();

	other->stop[0].signal = SIGQUIT;
	start_ready(bench_settings(), 1);
	bench_do(&b, (struct event){.kind = EVENT_SETTINGS, .settings = other});
	ck_assert_uint_eq(b.s->refs, 1);
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	ck_assert_int_eq(bench_last_action(&b, ACTION_SIGNAL)->signal, SIGQUIT);
	old_one_goes(0);
	bench_end(&b);
}

/* ---- servers that say nothing, but listen ---- */

static struct cluster_settings *auto_settings(void)
{
	struct cluster_settings *s = bench_settings();

	s->ready = READY_AUTO;
	s->start_timeout = 5 * SECOND;
	return s;
}

static void start_listening(unsigned slots)
{
	bench_start(&b, auto_settings(), slots);
	for (uint32_t i = 0; i < slots; i++)
		bench_listens(&b, i);
	bench_forget(&b);
}

static void deploy_auto(bool command_changed, bool drops_ports)
{
	fresh = auto_settings();
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = cluster_settings_ref(fresh),
			.command_changed = command_changed,
			.drops_ports = drops_ports,
		});
}

TEST(the_old_one_is_kept_until_the_new_one_listens)
{
	start_listening(2);
	restart();
	bench_pass(&b, 4 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	bench_listens(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	old_one_goes(0);
	bench_listens(&b, 1);
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(a_new_one_that_lives_but_does_not_listen_has_failed)
{
	start_listening(2);
	deploy_auto(false, false);
	bench_pass(&b, 5 * SECOND);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	old_one_goes(0);
	ck_assert_uint_eq(generation_of(0), 1);
	end();
	cluster_settings_unref(fresh);
}

TEST(another_command_has_to_listen_as_the_old_one_does)
{
	start_listening(1);
	deploy_auto(true, false);
	bench_pass(&b, 4 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_pass(&b, SECOND);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->others, 1);
	end();
	cluster_settings_unref(fresh);
}

TEST(another_command_that_drops_its_ports_need_not_listen)
{
	start_listening(1);
	deploy_auto(true, true);
	ck_assert(bench_rollout(&b).drops_ports);
	bench_pass(&b, SECOND);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL);
	old_one_goes(0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
	cluster_settings_unref(fresh);
}

TEST(one_that_has_to_wait_drops_its_ports_when_it_begins)
{
	start_ready(bench_settings(), 2);
	roll_slot(0, NULL);
	roll_slot(1, NULL);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.drops_ports = true,
		});
	ck_assert(!bench_rollout(&b).drops_ports);
	step_through(0);
	ck_assert(bench_rollout(&b).drops_ports);
	end();
}

TEST(another_command_does_not_learn_from_the_old_one)
{
	bench_start(&b, auto_settings(), 1);
	bench_pass(&b, SECOND);
	deploy_auto(true, false);
	bench_tell(&b, EVENT_READY, 0, bench_worker(&b, 0, SLOT_READY));
	bench_tell(&b, EVENT_LISTENING, 0, bench_worker(&b, 0, SLOT_READY));
	bench_pass(&b, SECOND);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL);
	old_one_goes(0);
	end();
	cluster_settings_unref(fresh);
}

TEST(settings_with_another_command_do_not_learn_either)
{
	bench_start(&b, auto_settings(), 1);
	bench_pass(&b, SECOND);
	deploy_auto(false, false);
	bench_do(&b,
		(struct event){
			.kind = EVENT_SETTINGS,
			.settings = auto_settings(),
			.command_changed = true,
		});
	bench_tell(&b, EVENT_LISTENING, 0, bench_worker(&b, 0, SLOT_READY));
	bench_pass(&b, SECOND);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL);
	old_one_goes(0);
	end();
	cluster_settings_unref(fresh);
}

TEST(a_restart_during_a_deployment_keeps_its_command)
{
	start_listening(1);
	deploy_auto(true, false);
	restart();
	old_one_goes(0); /* of the rollout that was superseded */
	ck_assert_uint_eq(bench_slot(&b, 0).worker[1].generation, 3);
	bench_tell(&b, EVENT_LISTENING, 0, bench_slot(&b, 0).worker[1].id);
	ck_assert_uint_eq(bench_slot(&b, 0).worker[0].generation, 3);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	old_one_goes(0);
	end();
	cluster_settings_unref(fresh);
}

TEST(one_command_learns_in_all_its_generations)
{
	bench_start(&b, auto_settings(), 1);
	bench_pass(&b, SECOND);
	restart();
	bench_tell(&b, EVENT_LISTENING, 0, bench_worker(&b, 0, SLOT_READY));
	bench_pass(&b, 2 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_listens(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}
