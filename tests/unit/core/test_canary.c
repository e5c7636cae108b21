/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* A trial by fire: new workers beside the old ones, which stay until it is
 * known that the new ones are well. */
static struct bench b;
static struct cluster_settings *fresh; /* what is rolled out */

static struct cluster_settings *canary_settings(unsigned canary, nsec_t bake)
{
	struct cluster_settings *s = bench_settings();

	s->canary = canary;
	s->bake = bake;
	return s;
}

static void start_as(struct cluster_settings *s, unsigned slots)
{
	bench_start(&b, s, slots);
	bench_all_ready(&b);
	bench_forget(&b);
}

static void restart(void)
{
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
}

static void deploy(unsigned canary, nsec_t bake)
{
	fresh = canary_settings(canary, bake);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = cluster_settings_ref(fresh),
		});
}

static void scale(unsigned count)
{
	ck_assert_int_eq(cluster_reserve(b.c, count), 0);
	bench_do(
		&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = count});
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

static void dies(uint32_t slot, uint64_t worker)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_EXITED,
			.slot = slot,
			.worker = worker,
			.ending = {.kind = ENDING_SIGNAL, .code = SIGSEGV},
		});
}

static void is_unwell(uint32_t slot, uint64_t worker, enum why why)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_UNWELL,
			.slot = slot,
			.worker = worker,
			.why = why,
		});
}

static void end(void)
{
	bench_do(&b, (struct event){.kind = EVENT_STOP, .at_once = true});
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (bench_slot(&b, i).workers > 0)
			old_one_goes(i);
	bench_end(&b);
	if (fresh != NULL)
		cluster_settings_unref(fresh);
	fresh = NULL;
}

/* The first canary takes its place, as the old one has ended as it should, and
 * another one is tried in its stead. */
static void one_takes_its_place_early(void)
{
	struct cluster_settings *s = bench_settings();

	s->restart = RESTART_ON_FAILURE;
	start_as(s, 3);
	deploy(1, 60 * SECOND);
	bench_exit(&b, 0, SLOT_READY, ENDING_EXIT, 0);
	bench_ready(&b, 0);
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_rollout(&b).canary, 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	ck_assert_int_ne(bench_rollout(&b).baking, 0);
}

/* Two of four are on trial, and ready. */
static void bake_two(void)
{
	start_as(canary_settings(2, 60 * SECOND), 4);
	restart();
	bench_ready(&b, 0);
	bench_ready(&b, 1);
}

/* ---- canaries ---- */

TEST(canaries_serve_beside_the_old_ones_until_the_bake_time_is_over)
{
	start_as(canary_settings(2, 60 * SECOND), 4);
	restart();
	ck_assert_uint_eq(bench_rollout(&b).canary, 2);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	bench_ready(&b, 0);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 0);
	ck_assert_int_eq(bench_rollout(&b).baking, 0);
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_BAKING)->count, 2);
	ck_assert_int_eq(bench_last(&b, REPORT_BAKING)->span, 60 * SECOND);
	ck_assert_int_eq(bench_rollout(&b).baking, b.now + 60 * SECOND);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_ROLLING);
	bench_pass(&b, 60 * SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 6);
	bench_pass(&b, 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 1);
	ck_assert_int_eq(bench_rollout(&b).baking, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 2);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL);
	end();
}

TEST(the_others_follow_the_canaries_as_in_any_rollout)
{
	bake_two();
	bench_pass(&b, 60 * SECOND);
	old_one_goes(0);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 1);
	old_one_goes(1);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 1);
	step_through(2);
	step_through(3);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_DONE)->count, 4);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	ck_assert(cluster_is_settled(b.c));
	end();
}

TEST(while_canaries_bake_nothing_is_settled)
{
	bake_two();
	ck_assert(!cluster_is_settled(b.c));
	end();
}

TEST(time_that_nclust_stood_still_is_not_baked)
{
	bake_two();
	b.now += 60 * SECOND;
	bench_do(&b, (struct event){.kind = EVENT_LATE, .span = 60 * SECOND});
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 0);
	bench_pass(&b, 60 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 1);
	end();
}

TEST(without_a_bake_time_the_others_follow_once_the_canaries_are_ready)
{
	start_as(canary_settings(1, 0), 2);
	restart();
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(a_request_may_have_canaries_of_its_own)
{
	start_as(bench_settings(), 3);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.has_canary = true,
			.count = 1,
			.has_bake = true,
			.span = 5 * SECOND,
		});
	bench_ready(&b, 0);
	ck_assert_int_eq(bench_last(&b, REPORT_BAKING)->span, 5 * SECOND);
	bench_pass(&b, 5 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(a_request_may_do_without_the_canaries_of_the_settings)
{
	start_as(canary_settings(1, 60 * SECOND), 2);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.has_canary = true,
			.has_bake = true,
		});
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(more_canaries_than_slots_are_all_of_them)
{
	start_as(canary_settings(9, 60 * SECOND), 2);
	restart();
	ck_assert_uint_eq(bench_rollout(&b).canary, 2);
	bench_ready(&b, 0);
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_last(&b, REPORT_BAKING)->count, 2);
	bench_pass(&b, 60 * SECOND);
	old_one_goes(0);
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(one_slots_restart_needs_no_canary)
{
	start_as(canary_settings(1, 60 * SECOND), 2);
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = 1});
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_uint_eq(bench_rollout(&b).canary, 0);
	end();
}

/* ---- where nobody has asked for any ---- */

static struct cluster_settings *guessing(enum ready_mode ready)
{
	struct cluster_settings *s = bench_settings();

	s->ready = ready;
	s->bake = BAKE_AUTO;
	return s;
}

/* Two slots, and the first new worker listens. */
static void bake_a_guess(struct cluster_settings *s)
{
	bench_start(&b, s, 2);
	bench_listens(&b, 0);
	bench_listens(&b, 1);
	bench_forget(&b);
	restart();
	bench_tell(&b, EVENT_LISTENING, 0, bench_of_generation(&b, 0, 2));
}

TEST(where_readiness_is_guessed_the_first_one_is_watched_for_stable_after)
{
	bake_a_guess(guessing(READY_LISTEN));
	ck_assert_uint_eq(bench_last(&b, REPORT_BAKING)->count, 1);
	ck_assert_int_eq(bench_last(&b, REPORT_BAKING)->span, SECOND);
	bench_pass(&b, SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 3);
	bench_pass(&b, 1);
	old_one_goes(0);
	bench_tell(&b, EVENT_LISTENING, 1, bench_of_generation(&b, 1, 2));
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(one_that_dies_while_it_is_watched_leaves_the_old_ones_alone)
{
	bake_a_guess(guessing(READY_LISTEN));
	bench_pass(&b, 400 * MSEC);
	dies(0, bench_of_generation(&b, 0, 2));
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	end();
}

TEST(who_says_that_it_is_ready_is_not_watched)
{
	struct cluster_settings *s = guessing(READY_AUTO);

	start_as(s, 2);
	restart();
	ck_assert_uint_eq(bench_rollout(&b).canary, 0);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(a_new_command_that_says_it_is_not_watched_either)
{
	start_as(guessing(READY_AUTO), 2);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.command_changed = true,
		});
	ck_assert_uint_eq(bench_rollout(&b).canary, 1);
	bench_ready(&b, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST_LOOP(only_a_probe_of_the_port_is_a_guess, 0, 3)
{
	static const struct {
		enum probe_kind kind;
		unsigned canary;
	} probes[] = {{PROBE_TCP, 1}, {PROBE_HTTP, 0}, {PROBE_EXEC, 0}};
	struct cluster_settings *s = guessing(READY_PROBE);

	s->ready_probe.kind = probes[_i].kind;
	bench_start(&b, s, 1);
	bench_tell(&b, EVENT_PROVED, 0, bench_worker(&b, 0, SLOT_STARTING));
	restart();
	ck_assert_uint_eq(bench_rollout(&b).canary, probes[_i].canary);
	end();
}

TEST(who_is_in_a_hurry_has_nobody_watched)
{
	bench_start(&b, guessing(READY_LISTEN), 1);
	bench_listens(&b, 0);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.has_bake = true,
		});
	bench_tell(&b, EVENT_LISTENING, 0, bench_of_generation(&b, 0, 2));
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(where_nobody_may_be_beside_it_is_watched_in_the_place)
{
	struct cluster_settings *s = guessing(READY_LISTEN);

	s->surge = 0;
	s->max_unavailable = 1;
	bench_start(&b, s, 2);
	bench_listens(&b, 0);
	bench_listens(&b, 1);
	bench_forget(&b);
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 2);
	old_one_goes(0);
	bench_listens(&b, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 1);
	bench_pass(&b, SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_pass(&b, 1);
	old_one_goes(1);
	bench_listens(&b, 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(one_slots_restart_is_watched_where_it_is_guessed)
{
	bench_start(&b, guessing(READY_LISTEN), 2);
	bench_listens(&b, 0);
	bench_listens(&b, 1);
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = 1});
	bench_tell(&b, EVENT_LISTENING, 1, bench_of_generation(&b, 1, 2));
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 1);
	bench_pass(&b, SECOND);
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

/* All were stopped; the new ones listen. */
static void restart_stopped(void)
{
	bench_start(&b, guessing(READY_LISTEN), 2);
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	old_one_goes(0);
	old_one_goes(1);
	restart();
	bench_listens(&b, 0);
	bench_listens(&b, 1);
}

TEST(a_restart_where_nothing_ran_is_done_when_all_have_been_watched)
{
	restart_stopped();
	bench_pass(&b, SECOND - 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 0);
	bench_pass(&b, 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

/* As one that daemonises: it listens, and its first process ends. */
TEST(a_restart_where_nothing_ran_fails_with_the_first_that_ends)
{
	restart_stopped();
	bench_exit(&b, 1, SLOT_READY, ENDING_EXIT, 0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 0);
	end();
}

/* ---- a canary fails ---- */

/* The old ones serve, and all new ones are asked to go. */
static void check_all_as_before(unsigned slots)
{
	const struct report *r = bench_last(&b, REPORT_ROLLOUT_FAILED);

	ck_assert(!bench_rollout(&b).under_way);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 1);
	ck_assert_uint_eq(cluster_ready(b.c), slots);
	ck_assert_uint_eq(r->generation, 2);
	for (uint32_t i = 0; i < slots; i++) {
		ck_assert_uint_eq(bench_slot(&b, i).worker[0].generation, 1);
		ck_assert_int_eq(bench_slot(&b, i).state, SLOT_READY);
	}
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(a_canary_that_dies_while_it_bakes_ends_the_rollout)
{
	bake_two();
	bench_pass(&b, 59 * SECOND);
	dies(1, bench_of_generation(&b, 1, 2));
	check_all_as_before(4);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->ending.code, SIGSEGV);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	ck_assert_uint_eq(bench_last(&b, REPORT_STOPPING)->slot, 0);
	old_one_goes(0);
	bench_pass(&b, HOUR);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 2);
	end();
}

TEST(new_settings_that_fail_as_canaries_need_no_way_back)
{
	start_as(bench_settings(), 3);
	deploy(2, 60 * SECOND);
	bench_ready(&b, 0);
	bench_ready(&b, 1);
	dies(0, bench_of_generation(&b, 0, 2));
	check_all_as_before(3);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	old_one_goes(1);
	ck_assert_uint_eq(fresh->refs, 1);
	end();
}

TEST_LOOP(a_canary_that_does_not_start_ends_the_rollout, 0, 2)
{
	start_as(canary_settings(2, 60 * SECOND), 3);
	restart();
	bench_ready(&b, 0);
	if (_i == 0)
		dies(1, bench_of_generation(&b, 1, 2));
	else
		bench_pass(&b, 60 * SECOND);
	check_all_as_before(3);
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->why,
		_i == 0 ? WHY_ITSELF : WHY_START_TIMEOUT);
	end();
}

TEST_LOOP(a_canary_that_is_not_well_ends_the_rollout, 0, 3)
{
	static const enum why whys[] = {WHY_CHECK, WHY_STALL, WHY_WATCHDOG};

	bake_two();
	is_unwell(0, bench_of_generation(&b, 0, 2), whys[_i]);
	check_all_as_before(4);
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->why, whys[_i]);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 2);
	end();
}

TEST(a_canary_that_misses_its_watchdog_ends_the_rollout)
{
	start_as(bench_settings(), 2);
	fresh = canary_settings(1, 60 * SECOND);
	fresh->watchdog = 10 * SECOND;
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = cluster_settings_ref(fresh),
		});
	bench_ready(&b, 0);
	bench_pass(&b, 10 * SECOND);
	check_all_as_before(2);
	ck_assert_int_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_WATCHDOG);
	end();
}

TEST(failed_canaries_are_drained_as_any_other)
{
	struct cluster_settings *s = canary_settings(2, 60 * SECOND);

	s->drain = DRAIN_QUIET;
	s->drain_timeout = 5 * SECOND;
	start_as(s, 2);
	restart();
	bench_ready(&b, 0);
	bench_ready(&b, 1);
	dies(0, bench_of_generation(&b, 0, 2));
	ck_assert_uint_eq(bench_actions(&b, ACTION_DRAIN), 1);
	ck_assert_int_eq(bench_last(&b, REPORT_DRAINING)->why, WHY_ROLL_FAILED);
	end();
}

TEST(deaths_of_canaries_are_no_reason_to_give_up)
{
	struct cluster_settings *s = canary_settings(1, 60 * SECOND);

	s->give_up_count = 2;
	s->give_up_window = HOUR;
	start_as(s, 2);
	for (unsigned generation = 2; generation < 6; generation++) {
		restart();
		bench_ready(&b, 0);
		dies(0, bench_of_generation(&b, 0, generation));
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_GAVE_UP), 0);
	end();
}

/* ---- old ones die beside canaries ---- */

TEST(a_canary_that_is_ready_takes_the_place_of_an_old_one_that_dies)
{
	bake_two();
	bench_forget(&b);
	dies(0, bench_of_generation(&b, 0, 1));
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 0);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	ck_assert_uint_eq(cluster_ready(b.c), 5);
	ck_assert(bench_rollout(&b).baking > 0);
	bench_pass(&b, 60 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STEP), 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(an_old_one_that_dies_beside_a_starting_canary_comes_back_as_it_was)
{
	start_as(canary_settings(1, 60 * SECOND), 2);
	restart();
	dies(0, bench_of_generation(&b, 0, 1));
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 2);
	ck_assert_uint_eq(bench_slot(&b, 0).worker[0].generation, 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STARTING);
	bench_tell(&b, EVENT_READY, 0, bench_of_generation(&b, 0, 2));
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	bench_tell(&b, EVENT_READY, 0, bench_of_generation(&b, 0, 1));
	ck_assert_uint_eq(bench_slot(&b, 0).worker[0].generation, 1);
	dies(0, bench_of_generation(&b, 0, 2));
	check_all_as_before(2);
	end();
}

TEST(a_canary_that_failed_serves_until_the_old_one_is_back)
{
	start_as(canary_settings(2, 60 * SECOND), 2);
	restart();
	dies(0, bench_of_generation(&b, 0, 1));
	bench_tell(&b, EVENT_READY, 0, bench_of_generation(&b, 0, 2));
	dies(1, bench_of_generation(&b, 1, 2));
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	ck_assert_uint_eq(bench_slot(&b, 0).worker[0].generation, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_tell(&b, EVENT_READY, 0, bench_of_generation(&b, 0, 1));
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	check_all_as_before(2);
	end();
}

TEST(a_slot_keeps_its_wait_if_the_rollout_fails_before_it_is_filled)
{
	struct cluster_settings *s = bench_settings();

	s->surge = WORKERS_MAX;
	start_as(s, 5);
	for (uint32_t i = 0; i < 5; i++) {
		bench_exit(&b, i, SLOT_READY, ENDING_EXIT, 1);
		bench_exit(&b, i, SLOT_STARTING, ENDING_EXIT, 1);
	}
	b.failing = 1;
	b.failure = (struct ending){.kind = ENDING_SPAWN, .code = 11};
	restart(); /* four are born at a time */
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert_int_eq(bench_slot(&b, 4).state, SLOT_BACKOFF);
	end();
}

TEST(a_slot_without_a_worker_is_a_good_place_for_a_canary)
{
	start_as(canary_settings(1, 60 * SECOND), 2);
	bench_exit(&b, 1, SLOT_READY, ENDING_EXIT, 1);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 1);
	ck_assert_int_eq(bench_slot(&b, 1).state, SLOT_BACKOFF);
	restart();
	ck_assert_uint_eq(bench_slot(&b, 1).worker[0].generation, 2);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	bench_ready(&b, 1);
	ck_assert(bench_rollout(&b).baking > 0);
	dies(1, bench_of_generation(&b, 1, 2));
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	bench_pass(&b, SECOND);
	ck_assert_uint_eq(bench_slot(&b, 1).worker[0].generation, 1);
	end();
}

/* ---- other requests meanwhile ---- */

TEST(a_second_restart_takes_the_canaries_away_and_begins_anew)
{
	bake_two();
	deploy(1, 5 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_SUPERSEDED), 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	ck_assert_uint_eq(cluster_ready(b.c), 4);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 2);
	old_one_goes(0);
	old_one_goes(1);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	bench_ready(&b, 2);
	bench_pass(&b, 5 * SECOND);
	old_one_goes(2);
	for (uint32_t i = 0; i < 4; i++)
		if (i != 2)
			step_through(i);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
	end();
}

TEST(canaries_are_no_generation_that_a_restart_has_to_wait_for)
{
	struct cluster_settings *s = canary_settings(1, 60 * SECOND);

	s->old_generations = 1;
	start_as(s, 2);
	restart();
	bench_ready(&b, 0);
	restart();
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 2);
	end();
}

TEST(a_stop_ends_canaries_too)
{
	bake_two();
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->why, WHY_STOP);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 6);
	end();
}

TEST(scaling_below_the_canaries_leaves_those_that_are_left_on_trial)
{
	bake_two();
	scale(1);
	ck_assert_uint_eq(bench_rollout(&b).canary, 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 0);
	bench_pass(&b, 60 * SECOND);
	old_one_goes(0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	end();
}

TEST(parking_a_cluster_that_bakes_ends_the_rollout)
{
	bake_two();
	scale(0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 0);
	end();
}

TEST(slots_that_come_while_canaries_bake_are_as_of_old)
{
	bake_two();
	scale(5);
	ck_assert_uint_eq(bench_slot(&b, 4).worker[0].generation, 1);
	bench_ready(&b, 4);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKING), 1);
	ck_assert(bench_rollout(&b).baking > 0);
	end();
}

TEST(settings_for_who_runs_do_not_disturb_canaries)
{
	struct cluster_settings *other = canary_settings(2, 60 * SECOND);

	bake_two();
	bench_do(&b, (struct event){.kind = EVENT_SETTINGS, .settings = other});
	ck_assert(bench_rollout(&b).baking > 0);
	bench_pass(&b, 60 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 1);
	end();
}

TEST(a_restart_that_waits_keeps_its_canaries)
{
	struct cluster_settings *s = bench_settings();

	s->old_generations = 1;
	start_as(s, 2);
	restart();
	step_through(0);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.has_canary = true,
			.count = 1,
			.has_bake = true,
			.span = SECOND,
		});
	step_through(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_rollout(&b).canary, 1);
	bench_ready(&b, 0);
	ck_assert_int_eq(bench_last(&b, REPORT_BAKING)->span, SECOND);
	end();
}

/* ---- the fleet: all new ones, then all old ones go ---- */

static void start_fleet(unsigned slots)
{
	struct cluster_settings *s = bench_settings();

	s->surge = WORKERS_MAX;
	start_as(s, slots);
}

TEST(a_fleet_is_there_before_any_old_one_goes)
{
	start_fleet(9);
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 18);
	for (uint32_t i = 0; i < 8; i++)
		bench_ready(&b, i);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_ready(&b, 8);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 9);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 0);
	for (uint32_t i = 0; i < 9; i++)
		old_one_goes(i);
	ck_assert_uint_eq(bench_last(&b, REPORT_ROLLOUT_DONE)->count, 9);
	end();
}

TEST(one_failure_turns_the_whole_fleet_back)
{
	start_fleet(3);
	restart();
	bench_ready(&b, 0);
	bench_ready(&b, 1);
	bench_exit(&b, 2, SLOT_STARTING, ENDING_EXIT, 3);
	check_all_as_before(3);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 2);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	end();
}

TEST(a_fleet_may_have_canaries)
{
	start_fleet(4);
	b.s->canary = 1;
	b.s->bake = 10 * SECOND;
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 5);
	bench_ready(&b, 0);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 2);
	bench_ready(&b, 1);
	bench_ready(&b, 2);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	bench_ready(&b, 3);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 4);
	for (uint32_t i = 0; i < 4; i++)
		old_one_goes(i);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_BAKED), 1);
	end();
}

TEST(slots_that_come_while_the_fleet_starts_belong_to_it)
{
	start_fleet(2);
	restart();
	bench_ready(&b, 0);
	scale(3);
	ck_assert_uint_eq(bench_slot(&b, 2).worker[0].generation, 2);
	bench_ready(&b, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_ready(&b, 2);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 2);
	end();
}

TEST_LOOP(one_that_took_its_place_early_is_on_trial_with_the_canaries, 0, 3)
{
	static const enum why whys[] = {WHY_ITSELF, WHY_STALL, WHY_CHECK};
	uint64_t worker;

	one_takes_its_place_early();
	worker = bench_slot(&b, 0).worker[0].id;
	if (whys[_i] == WHY_ITSELF)
		dies(0, worker);
	else
		is_unwell(0, worker, whys[_i]);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(
		bench_last(&b, REPORT_ROLLOUT_FAILED)->worker, worker);
	ck_assert_int_eq(bench_last(&b, REPORT_ROLLOUT_FAILED)->why, whys[_i]);
	end();
}
