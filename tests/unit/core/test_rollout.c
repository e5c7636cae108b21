/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* ---- `before` ---- */

/* Settings with such a command are rolled out. */
static void deploy_with_command(void)
{
	struct cluster_settings *s = plain_settings();

	s->before.text = "migrate";
	deploy(s);
}

static void command_ends(unsigned rollout, enum why why)
{
	happens((struct event){
		.kind = EVENT_PREPARED,
		.count = rollout,
		.why = why,
	});
}

TEST(nothing_is_replaced_before_its_command_has_ended)
{
	start_ready(2);
	deploy_with_command();
	ck_assert(rollout_now().unprepared);
	pass(10 * SECOND);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	crashes(0, SLOT_READY);
	pass(10 * SECOND);
	ck_assert_uint_eq(generation_of(0), 1); /* it comes back as it was */
	gets_ready(0);

	command_ends(99, WHY_ITSELF); /* of another one */
	ck_assert(rollout_now().unprepared);
	command_ends(1, WHY_ITSELF);
	ck_assert(!rollout_now().unprepared);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
}

TEST(a_command_that_fails_leaves_all_as_it_was)
{
	start_ready(2);
	deploy_with_command();
	command_ends(1, WHY_BEFORE);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, WHY_BEFORE);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_FAILED)->others, 2);
	ck_assert(!rollout_now().under_way);
	ck_assert_uint_eq(cluster_generation(b.c), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(one_that_is_too_large_is_replaced_after_a_command_that_failed)
{
	start_ready(1);
	deploy_with_command();
	happens((struct event){
		.kind = EVENT_OUTGROWN,
		.worker = worker_in(0, SLOT_READY),
		.why = WHY_MEMORY,
	});
	ck_assert_uint_eq(slot_at(0).workers, 1);
	command_ends(1, WHY_BEFORE);
	ck_assert_uint_eq(slot_at(0).workers, 2);
}

TEST(another_rollout_waits_for_the_command_of_the_first)
{
	start_ready(1);
	deploy_with_command();
	restart();
	ck_assert_uint_eq(rollout_now().id, 1);
	command_ends(1, WHY_BEFORE);
	ck_assert_uint_eq(rollout_now().id, 2);
	ck_assert(!rollout_now().unprepared); /* as before, without one */
	step_through(0);
}

TEST(of_a_stopped_cluster_the_next_one_begins_if_the_command_of_the_first_fails)
{
	start_ready(1);
	stop_all();
	deploy_with_command();
	restart();
	command_ends(1, WHY_BEFORE);
	ck_assert_uint_eq(rollout_now().id, 2);
	ck_assert(rollout_now().fresh);
	command_ends(2, WHY_ITSELF);
	gets_ready(0);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->rollout, 2);
	ck_assert_uint_eq(cluster_generation(b.c), 3);
}

TEST(a_first_start_whose_command_fails_is_given_up)
{
	start(1);
	exits(0, SLOT_STARTING, 1);
	command_ends(0, WHY_BEFORE);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_FAILED);
	ck_assert_uint_eq(reports(REPORT_ENDED), 1);
}

/* ---- the good way ---- */

TEST(the_new_one_is_ready_before_the_old_one_is_asked_to_go)
{
	start_ready(2);
	restart();
	ck_assert_uint_eq(slot_at(0).workers, 2);
	ck_assert_uint_eq(slot_at(1).workers, 1);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_ROLLING);
	gets_ready(0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	ck_assert_uint_eq(slot_at(1).workers, 1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STEP), 0);
	goes(0);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_STEP)->count, 1);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_STEP)->others, 2);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	ck_assert_uint_eq(rollout_now().slot, 1);
}

TEST(a_rollout_ends_with_all_new_and_restarts_uncounted)
{
	start_ready(3);
	restart();
	for (uint32_t i = 0; i < 3; i++)
		step_through(i);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->rollout, cluster_last_rollout(b.c));
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(generation_of(i), 2);
		ck_assert_uint_eq(slot_at(i).restarts, 0);
	}
}

TEST(an_empty_slot_comes_first_and_needs_no_wait)
{
	start_ready(2);
	exits(1, SLOT_READY, 1);
	exits(1, SLOT_STARTING, 1);
	ck_assert_int_eq(slot_at(1).state, SLOT_BACKOFF);
	restart();
	ck_assert_uint_eq(generation_of(1), 2);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	gets_ready(1);
	ck_assert_uint_eq(slot_at(0).workers, 2);
}

TEST(the_oldest_generation_comes_next)
{
	start_ready(3);
	restart_slot(0);
	step_through(0);
	restart_slot(1);
	step_through(1);
	ck_assert_uint_eq(generation_of(1), 3);
	restart();
	ck_assert_uint_eq(slot_at(2).workers, 2);
	step_through(2);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	step_through(0);
	ck_assert_uint_eq(slot_at(1).workers, 2);
}

static void be_busy(uint32_t slot, bool busy)
{
	happens((struct event){
		.kind = EVENT_BUSY,
		.slot = slot,
		.worker = worker_in(slot, SLOT_READY),
		.held = busy,
	});
}

TEST(those_that_are_idle_come_first)
{
	start_ready(4);
	be_busy(0, true);
	be_busy(1, true);
	be_busy(3, true);
	be_busy(3, false);
	restart();
	ck_assert_uint_eq(slot_at(2).workers, 2);
	step_through(2);
	ck_assert_uint_eq(slot_at(3).workers, 2);
	step_through(3);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	be_busy(1, false); /* its turn has come all the same */
	step_through(0);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	step_through(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

/* ---- one that must be alone ---- */

static void start_alone(unsigned slots, unsigned surge, unsigned max_unavailable)
{
	b.s->surge = surge;
	b.s->max_unavailable = max_unavailable;
	start_ready(slots);
	must_be_alone();
}

TEST_LOOP(a_single_worker_that_must_be_alone_goes_before_its_successor_comes, 0, 3)
{
	static const unsigned fewer[] = {COUNT_AUTO, 1, 2};

	if (_i == 2)
		guessing(b.s, READY_AUTO); /* and the trial is in its place */
	start_alone(1, COUNT_AUTO, fewer[_i]);
	if (_i < 2)
		restart();
	else
		restart_so((struct event){.has_canary = true, .count = 1});
	ck_assert_uint_eq(cluster_alive(b.c), 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_STOPPING);
	goes(0);
	ck_assert_uint_eq(cluster_alive(b.c), 1);
	gets_ready(0);
	pass(2 * SECOND);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

TEST_LOOP(what_is_set_is_obeyed_and_several_are_not_alone, 0, 5)
{
	static const struct {
		unsigned slots, surge, fewer;
	} cases[] = {{1, 1, COUNT_AUTO}, {1, WORKERS_MAX, COUNT_AUTO}, {1, COUNT_AUTO, 0},
		{2, COUNT_AUTO, COUNT_AUTO}, {3, COUNT_AUTO, 0}};

	start_alone(cases[_i].slots, cases[_i].surge, cases[_i].fewer);
	restart();
	ck_assert_uint_eq(slot_at(0).workers, 2);
	ck_assert_uint_eq(cluster_ready(b.c), cases[_i].slots);
}

TEST(without_surge_one_is_missing_as_nobody_has_said_how_many)
{
	start_alone(3, 0, COUNT_AUTO);
	restart();
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_int_eq(slot_at(0).state, SLOT_STOPPING);
	ck_assert_int_eq(slot_at(1).state, SLOT_READY);
}

TEST(if_its_successor_fails_the_settings_of_before_are_started_again)
{
	struct cluster_settings *newer = plain_settings();

	newer->surge = newer->max_unavailable = COUNT_AUTO;
	start_alone(1, COUNT_AUTO, COUNT_AUTO);
	deploy(newer);
	goes(0);
	exits(0, SLOT_STARTING, 3);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert(last(REPORT_ROLLOUT_FAILED)->back);
	pass(SECOND);
	ck_assert_uint_eq(generation_of(0), 1);
	gets_ready(0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(ended_slots_are_not_waited_for)
{
	b.s->surge = 0;
	b.s->max_unavailable = 1;
	b.s->restart = RESTART_ON_FAILURE;
	start_ready(3);
	restart();
	goes(0);
	gets_ready(0);
	exits(0, SLOT_READY, 0);
	ck_assert_int_eq(slot_at(0).state, SLOT_ENDED);
	goes(1);
	gets_ready(1);
	ck_assert_int_eq(slot_at(2).state, SLOT_STOPPING);
}

TEST(among_many_slots_the_search_goes_on_by_itself)
{
	start_ready(700);
	restart();
	ck_assert_uint_eq(slot_at(0).workers, 2);
}

/* ---- failures ---- */

TEST(the_first_failure_stops_it_and_the_old_ones_serve_on)
{
	const struct report *r;

	start_ready(2);
	restart();
	exits(0, SLOT_STARTING, 3);
	r = last(REPORT_ROLLOUT_FAILED);
	ck_assert_uint_eq(r->slot, 0);
	ck_assert_int_eq(r->ending.code, 3);
	ck_assert_int_eq(r->why, WHY_ITSELF);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
}

TEST(a_death_for_memory_is_a_failure_and_then_there_is_a_moment)
{
	start_ready(2);
	restart();
	gets_ready(0);
	happens((struct event){
		.kind = EVENT_EXITED,
		.worker = worker_in(0, SLOT_READY),
		.ending = {.kind = ENDING_SIGNAL, .code = SIGKILL, .out_of_memory = true},
	});
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 50 * MSEC);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	pass(50 * MSEC);
	gets_ready(0);
}

TEST_LOOP(after_a_failure_all_goes_back, 0, 2)
{
	start_ready(3);
	if (_i == 0)
		deploy(plain_settings());
	else
		restart();
	step_through(0);
	exits(1, SLOT_STARTING, 3);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
	ck_assert(rollout_now().going_back);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert_ptr_eq(last_action(ACTION_SPAWN)->settings, b.s);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	step_through(0);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(generation_of(0), 3);
	ck_assert_uint_eq(generation_of(1), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(a_way_back_that_fails_ends_too)
{
	start_ready(2);
	deploy(plain_settings());
	step_through(0);
	exits(1, SLOT_STARTING, 3);
	exits(0, SLOT_STARTING, 3);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 2);
	ck_assert(!rollout_now().under_way);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
}

/* ---- deaths beside it ---- */

TEST(who_is_not_well_after_its_turn_is_replaced_by_a_new_one)
{
	start_ready(2);
	deploy(plain_settings());
	step_through(0);
	is_unwell(0, worker_in(0, SLOT_READY), WHY_CHECK);
	ck_assert_ptr_eq(last_action(ACTION_SPAWN)->settings, fresh);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 0);
}

/* ---- several requests ---- */

TEST(a_second_request_supersedes_the_first)
{
	unsigned first;

	start_ready(2);
	restart();
	first = cluster_last_rollout(b.c);
	deploy(plain_settings());
	ck_assert_uint_eq(last(REPORT_ROLLOUT_SUPERSEDED)->rollout, first);
	ck_assert_uint_gt(cluster_last_rollout(b.c), first);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	goes(0); /* the starting one of the first */
	ck_assert_uint_eq(slot_at(0).workers, 2);
	step_through(0);
	step_through(1);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_DONE)->rollout, cluster_last_rollout(b.c));
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
}

TEST(what_would_make_too_many_generations_waits)
{
	unsigned third;

	b.s->old_generations = 1;
	start_ready(3);
	restart();
	step_through(0);
	restart(); /* would leave two old ones alive */
	third = cluster_last_rollout(b.c);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 1);
	restart();
	ck_assert_uint_eq(last(REPORT_ROLLOUT_SUPERSEDED)->rollout, third);
	step_through(1);
	step_through(2);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_STARTED)->rollout, cluster_last_rollout(b.c));
}

TEST(who_waits_is_not_overtaken)
{
	b.s->old_generations = 1;
	start_ready(2);
	restart();
	restart();
	deploy(plain_settings()); /* waits for the worker of the first restart to go */
	goes(0);
	deploy(plain_settings()); /* could begin now, and the other would come last */
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 2);
	for (uint32_t i = 0; i < 4; i++)
		step_through(i % 2);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 2);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
}

/* ---- stop, scale, settings ---- */

TEST(a_stop_wins)
{
	start_ready(2);
	deploy(plain_settings());
	stop(false);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, WHY_STOP);
}

TEST(a_request_while_stopping_is_refused)
{
	start_ready(1);
	stop(false);
	deploy(plain_settings());
	ck_assert_uint_eq(last(REPORT_ROLLOUT_FAILED)->rollout, cluster_last_rollout(b.c));
}

TEST(settings_without_a_rollout_hold_for_who_runs)
{
	struct cluster_settings *other = plain_settings();

	other->stop[0].signal = SIGQUIT;
	start_ready(1);
	change(other, false);
	ck_assert_uint_eq(b.s->refs, 1);
	stop(false);
	ck_assert_int_eq(last_action(ACTION_SIGNAL)->signal, SIGQUIT);
	goes(0);
}

/* ---- servers that say nothing, but listen ---- */

static struct cluster_settings *by_itself(struct cluster_settings *s)
{
	s->ready = READY_AUTO;
	s->start_timeout = 5 * SECOND;
	return s;
}

static void start_servers(unsigned slots)
{
	(void)by_itself(b.s);
	start_listening(slots);
}

/* One that has lived for long enough. */
static void start_mute(void)
{
	(void)by_itself(b.s);
	start(1);
	pass(SECOND);
}

static void deploy_auto(bool command_changed, bool drops_ports)
{
	deploy_so(by_itself(plain_settings()),
		(struct event){.command_changed = command_changed, .drops_ports = drops_ports});
}

TEST(the_old_one_is_kept_until_the_new_one_listens)
{
	start_servers(2);
	restart();
	pass(4 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	listens(0);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	goes(0);
	listens(1);
	goes(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

TEST(another_command_has_to_listen_as_the_old_one_does)
{
	start_servers(1);
	deploy_auto(true, false);
	pass(4 * SECOND);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	pass(SECOND);
	ck_assert_int_eq(last(REPORT_ROLLOUT_FAILED)->why, WHY_START_TIMEOUT);
	ck_assert_uint_eq(last(REPORT_ROLLOUT_FAILED)->others, 1);
}

TEST(another_command_that_drops_its_ports_need_not_listen)
{
	start_servers(1);
	deploy_auto(true, true);
	ck_assert(rollout_now().drops_ports);
	pass(SECOND);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL);
	goes(0);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
}

TEST(one_that_has_to_wait_drops_its_ports_when_it_begins)
{
	start_ready(2);
	restart_slot(0);
	restart_slot(1);
	restart_so((struct event){.drops_ports = true});
	ck_assert(!rollout_now().drops_ports);
	step_through(0);
	ck_assert(rollout_now().drops_ports);
}

TEST_LOOP(another_command_does_not_learn_from_the_old_one, 0, 2)
{
	start_mute();
	deploy_auto(_i == 0, false);
	if (_i == 1)
		change(by_itself(plain_settings()), true);
	else
		tell(EVENT_READY, 0, worker_in(0, SLOT_READY));
	tell(EVENT_LISTENING, 0, worker_in(0, SLOT_READY));
	pass(SECOND);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_ROLL);
}

TEST(a_restart_during_a_deployment_keeps_its_command)
{
	start_servers(1);
	deploy_auto(true, false);
	restart();
	goes(0); /* of the rollout that was superseded */
	ck_assert_uint_eq(slot_at(0).worker[1].generation, 3);
	tell(EVENT_LISTENING, 0, slot_at(0).worker[1].id);
	ck_assert_uint_eq(slot_at(0).worker[0].generation, 3);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	goes(0);
}
