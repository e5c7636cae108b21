/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* A trial by fire: new workers beside the old ones, which stay until it is
 * known that the new ones are well. */

static void start_canaries(unsigned count, nsec_t bake, unsigned slots)
{
	(void)canaries(b.s, count, bake);
	start_ready(slots);
}

static struct cluster_settings *other_canaries(unsigned count, nsec_t bake)
{
	return canaries(plain_settings(), count, bake);
}

/* The first canary takes its place, as the old one has ended as it should, and
 * another one is tried in its stead. */
static void one_takes_its_place_early(void)
{
	b.s->restart = RESTART_ON_FAILURE;
	start_ready(3);
	deploy(other_canaries(1, 60 * SECOND));
	exits(0, SLOT_READY, 0);
	gets_ready(0);
	gets_ready(1);
	ck_assert_uint_eq(rollout_now().canary, 1);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	ck_assert_int_ne(rollout_now().baking, 0);
}

/* Two of four are on trial, and ready. */
static void bake_two(void)
{
	start_canaries(2, 60 * SECOND, 4);
	restart();
	gets_ready(0);
	gets_ready(1);
}

/* ---- canaries ---- */

TEST(a_canary_is_not_spent_on_the_slot_of_the_next_spare)
{
	(void)canaries(b.s, 1, 60 * SECOND);
	b.s->spare = 1;
	start(2);
	gets_ready(1);
	gets_ready(2);
	restart();
	ck_assert_uint_eq(slot_at(0).workers, 1);
	ck_assert_uint_eq(slot_at(1).workers, 2);
}

TEST(canaries_serve_beside_the_old_ones_until_the_bake_time_is_over)
{
	start_canaries(2, 60 * SECOND, 4);
	restart();
	ck_assert_uint_eq(rollout_now().canary, 2);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	gets_ready(0);
	pass(10 * SECOND);
	ck_assert_uint_eq(reports(REPORT_BAKING), 0);
	ck_assert_int_eq(rollout_now().baking, 0);
	gets_ready(1);
	ck_assert_uint_eq(last(REPORT_BAKING)->count, 2);
	ck_assert_int_eq(last(REPORT_BAKING)->span, 60 * SECOND);
	ck_assert_int_eq(rollout_now().baking, b.now + 60 * SECOND);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_ROLLING);
	pass(60 * SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 6);
	pass(1);
	ck_assert_uint_eq(reports(REPORT_BAKED), 1);
	ck_assert_int_eq(rollout_now().baking, 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 2);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL);
}

TEST(the_others_follow_the_canaries_as_in_any_rollout)
{
	bake_two();
	pass(60 * SECOND);
	goes(0);
	ck_assert_uint_eq(slot_at(2).workers, 1);
	goes(1);
	ck_assert_uint_eq(slot_at(2).workers, 2);
	ck_assert_uint_eq(slot_at(3).workers, 1);
	step_through(2);
	step_through(3);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->count, 4);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	ck_assert(cluster_is_settled(b.c));
}

TEST(without_a_bake_time_the_others_follow_once_the_canaries_are_ready)
{
	start_canaries(1, 0, 2);
	restart();
	gets_ready(0);
	ck_assert_uint_eq(reports(REPORT_BAKING), 0);
	ck_assert_uint_eq(reports(REPORT_BAKED), 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST(a_request_may_have_canaries_of_its_own)
{
	start_ready(3);
	restart_so((struct event){
		.has_canary = true, .count = 2, .has_bake = true, .span = 5 * SECOND});
	gets_ready(0);
	gets_ready(1);
	ck_assert_int_eq(last(REPORT_BAKING)->span, 5 * SECOND);
	pass(5 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 2);
}

TEST(a_request_may_do_without_the_canaries_of_the_settings)
{
	start_canaries(1, 60 * SECOND, 2);
	restart_so((struct event){.has_canary = true, .has_bake = true});
	gets_ready(0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

/* ---- where nobody has asked for any ---- */

static void start_guessing(unsigned slots)
{
	(void)guessing(b.s, READY_LISTEN);
	start_listening(slots);
}

/* Two slots, and the first new worker listens. */
static void bake_a_guess(void)
{
	start_guessing(2);
	restart();
	tell(EVENT_LISTENING, 0, worker_of(0, 2));
}

TEST(where_readiness_is_guessed_the_first_one_is_watched_for_stable_after)
{
	bake_a_guess();
	ck_assert_uint_eq(last(REPORT_BAKING)->count, 1);
	ck_assert_int_eq(last(REPORT_BAKING)->span, SECOND);
	pass(SECOND - 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 3);
	pass(1);
	goes(0);
	tell(EVENT_LISTENING, 1, worker_of(1, 2));
	goes(1);
	ck_assert_uint_eq(reports(REPORT_BAKING), 1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

TEST(who_says_that_it_is_ready_is_not_watched)
{
	(void)guessing(b.s, READY_AUTO);
	start_ready(2);
	restart();
	ck_assert_uint_eq(rollout_now().canary, 0);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(reports(REPORT_BAKING), 0);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

TEST(a_new_command_that_says_it_is_not_watched_either)
{
	(void)guessing(b.s, READY_AUTO);
	start_ready(2);
	restart_so((struct event){.command_changed = true});
	ck_assert_uint_eq(rollout_now().canary, 1);
	gets_ready(0);
	ck_assert_uint_eq(reports(REPORT_BAKING), 0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST_LOOP(only_a_probe_of_the_port_is_a_guess, 0, 3)
{
	static const struct {
		enum probe_kind kind;
		unsigned canary;
	} probes[] = {{PROBE_TCP, 1}, {PROBE_HTTP, 0}, {PROBE_EXEC, 0}};

	(void)guessing(b.s, READY_PROBE);
	b.s->ready_probe.kind = probes[_i].kind;
	start(1);
	tell(EVENT_PROVED, 0, worker_in(0, SLOT_STARTING));
	restart();
	ck_assert_uint_eq(rollout_now().canary, probes[_i].canary);
}

/* As one that daemonises: it listens, and its first process ends. */
TEST(a_restart_where_nothing_ran_fails_with_the_first_that_ends)
{
	start_guessing(2);
	stop(false);
	goes(0);
	goes(1);
	restart();
	listens(0);
	listens(1);
	exits(1, SLOT_READY, 0);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 0);
}

/* ---- a canary fails ---- */

/* The old ones serve, and all new ones are asked to go. */
static void check_all_as_before(unsigned slots)
{
	const struct report *r = last(REPORT_ROLLOUT_FAILED);

	ck_assert(!rollout_now().under_way);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 1);
	ck_assert_uint_eq(cluster_ready(b.c), slots);
	ck_assert_uint_eq(r->generation, 2);
	for (uint32_t i = 0; i < slots; i++) {
		ck_assert_uint_eq(generation_of(i), 1);
		ck_assert_int_eq(slot_at(i).state, SLOT_READY);
	}
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(a_canary_that_dies_while_it_bakes_ends_the_rollout)
{
	bake_two();
	pass(59 * SECOND);
	dies(1, worker_of(1, 2));
	check_all_as_before(4);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->ending.code, SIGSEGV);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	ck_assert_uint_eq(last(REPORT_STOPPING)->slot, 0);
	goes(0);
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 2);
}

TEST(new_settings_that_fail_as_canaries_need_no_way_back)
{
	start_ready(3);
	deploy(other_canaries(2, 60 * SECOND));
	gets_ready(0);
	gets_ready(1);
	dies(0, worker_of(0, 2));
	check_all_as_before(3);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	goes(1);
}

TEST_LOOP(a_canary_that_does_not_start_ends_the_rollout, 0, 2)
{
	start_canaries(2, 60 * SECOND, 3);
	restart();
	gets_ready(0);
	if (_i == 0)
		dies(1, worker_of(1, 2));
	else
		pass(60 * SECOND);
	check_all_as_before(3);
	ck_assert_int_eq(
		last(REPORT_ROLLOUT_FAILED)->why, _i == 0 ? WHY_ITSELF : WHY_START_TIMEOUT);
}

TEST_LOOP(a_canary_that_is_not_well_ends_the_rollout, 0, 3)
{
	static const enum why whys[] = {WHY_CHECK, WHY_STALL, WHY_WATCHDOG};

	bake_two();
	is_unwell(0, worker_of(0, 2), whys[_i]);
	check_all_as_before(4);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, whys[_i]);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 2);
}

/* ---- old ones die beside canaries ---- */

TEST(a_canary_that_is_ready_takes_the_place_of_an_old_one_that_dies)
{
	bake_two();
	forget();
	dies(0, worker_of(0, 1));
	ck_assert_uint_eq(actions(ACTION_SPAWN), 0);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	ck_assert_uint_eq(cluster_ready(b.c), 5);
	ck_assert(rollout_now().baking > 0);
	pass(60 * SECOND);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STEP), 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST(a_canary_that_failed_serves_until_the_old_one_is_back)
{
	start_canaries(2, 60 * SECOND, 2);
	restart();
	dies(0, worker_of(0, 1));
	tell(EVENT_READY, 0, worker_of(0, 2));
	dies(1, worker_of(1, 2));
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	ck_assert_uint_eq(generation_of(0), 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	tell(EVENT_READY, 0, worker_of(0, 1));
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL_FAILED);
	check_all_as_before(2);
}

TEST(a_slot_keeps_its_wait_if_the_rollout_fails_before_it_is_filled)
{
	b.s->surge = WORKERS_MAX;
	start_ready(5);
	for (uint32_t i = 0; i < 5; i++) {
		exits(i, SLOT_READY, 1);
		exits(i, SLOT_STARTING, 1);
	}
	b.failing = 1;
	b.failure = (struct ending){.kind = ENDING_SPAWN, .code = 11};
	restart(); /* four are born at a time */
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert_int_eq(slot_at(4).state, SLOT_BACKOFF);
}

/* ---- other requests meanwhile ---- */

TEST(a_second_restart_takes_the_canaries_away_and_begins_anew)
{
	bake_two();
	deploy(other_canaries(1, 5 * SECOND));
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_SUPERSEDED), 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	ck_assert_uint_eq(cluster_ready(b.c), 4);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 2);
	goes(0);
	goes(1);
	ck_assert_uint_eq(slot_at(2).workers, 2);
	gets_ready(2);
	pass(5 * SECOND);
	goes(2);
	for (uint32_t i = 0; i < 4; i++)
		if (i != 2)
			step_through(i);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
}

TEST(canaries_are_no_generation_that_a_restart_has_to_wait_for)
{
	b.s->old_generations = 1;
	start_canaries(1, 60 * SECOND, 2);
	restart();
	gets_ready(0);
	restart();
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 2);
}

TEST(a_stop_ends_canaries_too)
{
	bake_two();
	stop(false);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, WHY_STOP);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 6);
}

TEST(parking_a_cluster_that_bakes_ends_the_rollout)
{
	bake_two();
	scale(0);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(reports(REPORT_BAKED), 0);
}

TEST(a_restart_that_waits_keeps_its_canaries)
{
	b.s->old_generations = 1;
	start_ready(2);
	restart();
	step_through(0);
	restart_so(
		(struct event){.has_canary = true, .count = 2, .has_bake = true, .span = SECOND});
	step_through(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(rollout_now().canary, 2);
	gets_ready(0);
	gets_ready(1);
	ck_assert_int_eq(last(REPORT_BAKING)->span, SECOND);
}

/* ---- the fleet: all new ones, then all old ones go ---- */

static void start_fleet(unsigned slots)
{
	b.s->surge = WORKERS_MAX;
	start_ready(slots);
}

TEST(a_fleet_is_there_before_any_old_one_goes)
{
	start_fleet(9);
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 18);
	for (uint32_t i = 0; i < 8; i++)
		gets_ready(i);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	gets_ready(8);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 9);
	ck_assert_uint_eq(reports(REPORT_BAKED), 0);
	for (uint32_t i = 0; i < 9; i++)
		goes(i);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->count, 9);
}

/* Asked for or not; clients try it only if it was. */
TEST_LOOP(of_a_fleet_the_first_one_that_is_watched_replaces_nobody_yet, 0, 2)
{
	b.s->surge = WORKERS_MAX;
	start_guessing(3);
	restart_so((struct event){.has_canary = _i == 1, .count = 1});
	ck_assert_uint_eq(cluster_alive(b.c), 4);
	listens(0);
	pass(SECOND);
	ck_assert_uint_eq(reports(REPORT_BAKED), 1);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	listens(1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert(rollout_now().old_alone == (_i == 0));
	listens(2);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 3);
	for (uint32_t i = 0; i < 3; i++)
		goes(i);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->count, 3);
}

TEST(of_a_fleet_that_a_reload_makes_a_common_rollout_not_all_old_ones_go_at_once)
{
	b.s->surge = WORKERS_MAX;
	b.s->start_at_once = 1;
	start_guessing(1);
	scale(6);
	for (uint32_t i = 1; i < 6; i++)
		listens(i);
	forget();
	restart();
	listens(0);
	pass(SECOND);
	ck_assert_uint_eq(reports(REPORT_BAKED), 1);
	fresh = guessing(plain_settings(), READY_LISTEN);
	fresh->surge = 0;
	fresh->max_unavailable = 1;
	fresh->start_at_once = 1;
	change(cluster_settings_ref(fresh), false);
	ck_assert_uint_le(actions(ACTION_SIGNAL), 1);
}

TEST_LOOP(one_that_took_its_place_early_is_on_trial_with_the_canaries, 0, 3)
{
	static const enum why whys[] = {WHY_ITSELF, WHY_STALL, WHY_CHECK};
	uint64_t worker;

	one_takes_its_place_early();
	worker = slot_at(0).worker[0].id;
	if (whys[_i] == WHY_ITSELF)
		dies(0, worker);
	else
		is_unwell(0, worker, whys[_i]);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_FAILED)->worker, worker);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, whys[_i]);
}
