/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include <errno.h>

/* ---- starting ---- */

TEST(the_first_tick_fills_all_slots_in_order)
{
	start(9);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 9);
	for (uint32_t i = 0; i < 9; i++)
		ck_assert_uint_eq(slot_at(i).worker[0].id, i + 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STARTING);
	ck_assert_uint_eq(cluster_alive(b.c), 9);
	stop(true);
}

TEST(all_ready_is_told_once_and_the_cluster_runs)
{
	start(2);
	gets_ready(1);
	ck_assert_uint_eq(reports(REPORT_ALL_READY), 0);
	gets_ready(0);
	ck_assert_uint_eq(reports(REPORT_ALL_READY), 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert_int_eq(cluster_next_deadline(b.c), NSEC_NEVER);
}

TEST_LOOP(each_mode_has_its_own_signs, 0, 5)
{
	static const struct {
		enum ready_mode mode;
		bool said, listens, proved, lived;
	} rows[] = {
		{READY_AUTO, true, true, false, true},
		{READY_NOTIFY, true, false, false, false},
		{READY_ALIVE, false, false, false, true},
		{READY_LISTEN, false, true, false, false},
		{READY_PROBE, false, false, true, false},
	};

	b.s->ready = rows[_i].mode;
	start(3);
	tell(EVENT_LISTENING, 1, 2);
	tell(EVENT_READY, 0, 1);
	tell(EVENT_PROVED, 2, 3);
	ck_assert_int_eq(slot_at(0).state == SLOT_READY, rows[_i].said);
	ck_assert_int_eq(slot_at(1).state == SLOT_READY, rows[_i].listens);
	ck_assert_int_eq(slot_at(2).state == SLOT_READY, rows[_i].proved);
	clear_bench();
	set_bench();
	b.s->ready = rows[_i].mode;
	start(1);
	pass(SECOND);
	ck_assert_int_eq(slot_at(0).state == SLOT_READY, rows[_i].lived);
}

TEST(who_says_ready_once_teaches_auto_to_demand_it)
{
	b.s->ready = READY_AUTO;
	b.s->start_timeout = 5 * SECOND;
	start(1);
	pass(SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	ck_assert(!cluster_knows_notify(b.c));

	exits(0, SLOT_READY, 1);
	gets_ready(0);
	ck_assert(cluster_knows_notify(b.c));

	exits(0, SLOT_READY, 1);
	pass(2 * SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	pass(4 * SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 1);
}

static void start_mode(enum ready_mode mode, unsigned slots)
{
	b.s->ready = mode;
	b.s->start_timeout = 5 * SECOND;
	start(slots);
}

/* Let the slot's worker die, and be replaced, however often it has. */
static void replace(uint32_t slot, enum slot_state state)
{
	exits(slot, state, 1);
	while (slot_at(slot).state == SLOT_BACKOFF)
		pass(slot_at(slot).next_try - b.now);
	ck_assert_int_eq(slot_at(slot).state, SLOT_STARTING);
}

TEST(who_listens_once_teaches_auto_to_demand_it)
{
	start_mode(READY_AUTO, 1);
	listens(0);
	replace(0, SLOT_READY);
	pass(2 * SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	pass(3 * SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 1);
	replace(0, SLOT_STOPPING);
	listens(0);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	ck_assert(!cluster_knows_notify(b.c));
}

/* Of whom nothing is known: start-timeout, unless it is idle. */
TEST_LOOP(auto_waits_for_a_port, 0, 5)
{
	static const struct {
		enum event_kind kind; /* at that second */
		int at;
		int ready; /* at that one; 0: never */
	} rows[] = {
		{EVENT_ALIVE, 2, 60},
		{EVENT_IDLE, 2, 2},
		{EVENT_LISTENING, 3, 3},
		{EVENT_REFUSED, 0, 0},
		{EVENT_REFUSED, 4, 0},
	};
	const nsec_t ready = rows[_i].ready * SECOND;
	const nsec_t at = rows[_i].at * SECOND;

	b.opens = true;
	b.s->ready = READY_AUTO;
	start(1);
	pass(at);
	happens((struct event){.kind = rows[_i].kind, .worker = 1});
	if (ready > at) {
		pass(ready - at - 1);
		ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
		pass(1);
	}
	ck_assert_int_eq(slot_at(0).state == SLOT_READY, ready != 0);
	pass(61 * SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), ready == 0);
}

TEST(who_opens_none_is_known_until_it_opens_one)
{
	b.opens = true;
	start_mode(READY_AUTO, 2);
	pass(5 * SECOND);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	replace(0, SLOT_READY);
	pass(SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	replace(1, SLOT_READY);
	tell(EVENT_LISTENING, 0, worker_in(0, SLOT_READY));
	pass(4 * SECOND);
	ck_assert_int_eq(slot_at(1).state, SLOT_STARTING);
	pass(SECOND);
	ck_assert_uint_eq(last(REPORT_START_TIMEOUT)->slot, 1);
}

TEST_LOOP(who_has_done_its_work_opens_none, 0, 4)
{
	b.opens = true;
	start_mode(READY_AUTO, 1);
	pass(2 * SECOND);
	ends(0, worker_in(0, SLOT_STARTING),
		(struct ending){.kind = ENDING_EXIT, .code = _i % 2, .done = _i < 2});
	pass(2 * SECOND);
	ck_assert_int_eq(slot_at(0).state == SLOT_READY, _i == 0);
}

TEST(who_listens_teaches_those_that_are_starting_too)
{
	start_mode(READY_AUTO, 2);
	pass(SECOND - 1);
	listens(0);
	pass(SECOND);
	ck_assert_int_eq(slot_at(1).state, SLOT_STARTING);
	pass(3 * SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 0);
	pass(1);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 1);
	ck_assert_uint_eq(last(REPORT_START_TIMEOUT)->slot, 1);
}

TEST(auto_demands_ready_from_who_says_it_even_if_it_listens)
{
	start_mode(READY_AUTO, 1);
	listens(0); /* at first nobody can know better */
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
	tell(EVENT_READY, 0, worker_in(0, SLOT_READY));
	ck_assert_uint_eq(reports(REPORT_READY), 1);
	replace(0, SLOT_READY);
	listens(0);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	pass(4 * SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	gets_ready(0);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
}

TEST_LOOP(a_sign_after_the_exit_finds_nobody, 0, 2)
{
	enum event_kind kind = _i == 0 ? EVENT_READY : EVENT_LISTENING;
	uint64_t id;

	start_mode(READY_AUTO, 1);
	id = worker_in(0, SLOT_STARTING);
	exits(0, SLOT_STARTING, 1);
	tell(kind, 0, id);
	ck_assert_uint_eq(cluster_ready(b.c), 0);
	pass(100 * MSEC);
	tell(kind, 0, id);
	tell(EVENT_EXITED, 0, id);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	ck_assert_uint_eq(reports(REPORT_SURPRISE), 0);
	pass(SECOND); /* it has taught nothing either */
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
}

TEST(another_command_has_to_teach_anew)
{
	struct cluster_settings *other = plain_settings();

	other->ready = READY_AUTO;
	start_mode(READY_AUTO, 1);
	listens(0);
	tell(EVENT_READY, 0, worker_in(0, SLOT_READY));
	ck_assert(cluster_knows_notify(b.c));
	change(other, true);
	ck_assert(!cluster_knows_notify(b.c));
	replace(0, SLOT_READY);
	pass(SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_READY);
}

TEST(a_start_timeout_is_a_failed_start)
{
	start(1);
	pass(60 * SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 1);
	ck_assert_int_eq(last_action(ACTION_SIGNAL)->signal, SIGTERM);
	exits(0, SLOT_STOPPING, 0);
	ck_assert_int_eq(last(REPORT_EXITED)->why, WHY_START_TIMEOUT);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 100 * MSEC);
	ck_assert_int_eq(slot_at(0).state, SLOT_BACKOFF);
}

TEST(what_a_state_does_not_expect_is_told_once)
{
	start(1);
	tell(EVENT_SPAWNED, 0, worker_in(0, SLOT_STARTING));
	tell(EVENT_SPAWNED, 0, worker_in(0, SLOT_STARTING));
	ck_assert_uint_eq(reports(REPORT_SURPRISE), 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
}

/* ---- dying ---- */

TEST(the_first_death_after_ready_is_replaced_at_once)
{
	start_ready(2);
	crashes(1, SLOT_READY);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_DEGRADED);
	ck_assert_uint_eq(slot_at(1).restarts, 1);
	ck_assert_uint_eq(slot_at(0).restarts, 0);
	ck_assert_int_eq(slot_at(1).last.code, SIGSEGV);
	gets_ready(1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

/* One that starts is not at work: it may die, too. */
TEST(the_last_ready_one_is_replaced_at_once_also_where_others_start)
{
	start_ready(2);
	crashes(0, SLOT_READY);
	gets_ready(0);
	crashes(1, SLOT_READY); /* it starts again */
	crashes(0, SLOT_READY);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 0);
	crashes(1, SLOT_STARTING);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 100 * MSEC);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
}

/* So end programs after so many requests or jobs: that is no crash. */
TEST(one_that_ends_with_success_after_a_second_does_not_wait_however_often)
{
	start_ready(2);
	for (int i = 0; i < 10; i++) {
		pass(SECOND);
		exits(0, SLOT_READY, 0);
		ck_assert_int_eq(last(REPORT_EXITED)->wait, 0);
		gets_ready(0);
	}
	pass(SECOND - 1);
	exits(0, SLOT_READY, 0);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 100 * MSEC);
}

TEST(one_that_ends_with_success_before_stable_after_waits)
{
	b.s->stable_after = MINUTE / 2;
	start_ready(2);
	pass(MINUTE / 2 - 1);
	exits(0, SLOT_READY, 0);
	gets_ready(0);
	pass(MINUTE / 2 - 1);
	exits(0, SLOT_READY, 0);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 100 * MSEC);
}

/* What it held is freed by the kernel a moment behind its exit. */
TEST(a_death_for_memory_is_replaced_a_moment_later)
{
	struct event killed = {
		.kind = EVENT_EXITED,
		.ending = {.kind = ENDING_SIGNAL, .code = SIGKILL, .out_of_memory = true},
	};

	start_ready(1);
	killed.worker = worker_in(0, SLOT_READY);
	happens(killed);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 50 * MSEC);
	pass(50 * MSEC - 1);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 0);
	pass(1);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);

	/* one that waits anyway does not wait longer */
	killed.worker = worker_in(0, SLOT_STARTING);
	happens(killed);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, 100 * MSEC);
}

TEST(a_slot_in_backoff_says_when_it_tries_again)
{
	start(1);
	exits(0, SLOT_STARTING, 3);
	ck_assert_int_eq(slot_at(0).state, SLOT_BACKOFF);
	ck_assert_int_eq(slot_at(0).next_try, b.now + 100 * MSEC);
	ck_assert_int_eq(cluster_next_deadline(b.c), b.now + 100 * MSEC);
	pass(100 * MSEC - 1);
	ck_assert_uint_eq(cluster_alive(b.c), 0);
	pass(1);
	ck_assert_uint_eq(cluster_alive(b.c), 1);
}

TEST(a_command_that_cannot_be_run_fails_the_cluster_at_once)
{
	b.failing = 1;
	b.failure = (struct ending){.kind = ENDING_SPAWN, .permanent = true, .exit_status = 127};
	start(3);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_FAILED);
	goes(1);
	goes(2);
	ck_assert_int_eq(cluster_exit_status(b.c), 127);
	ck_assert_uint_eq(reports(REPORT_ENDED), 1);
}

TEST(a_command_that_could_be_run_once_is_tried_again)
{
	start_ready(1);
	b.failing = 1;
	b.failure = (struct ending){.kind = ENDING_SPAWN, .permanent = true, .exit_status = 127};
	exits(0, SLOT_READY, 0);
	ck_assert_int_eq(slot_at(0).state, SLOT_BACKOFF);
	pass(100 * MSEC);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
}

TEST(a_worker_for_which_descriptors_lacked_is_tried_again_within_a_second)
{
	start_ready(2);
	b.failing = 9;
	b.failure = (struct ending){.kind = ENDING_SPAWN, .code = EMFILE};
	exits(0, SLOT_READY, 0);
	while (b.failing > 0) {
		ck_assert_int_le(slot_at(0).next_try, b.now + SECOND);
		pass(SECOND);
	}
	pass(SECOND);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	exits(0, SLOT_STARTING, 1);
	ck_assert_int_eq(slot_at(0).next_try, b.now + 100 * MSEC);
}

TEST(one_that_leaves_by_itself_is_let_go_and_replaced)
{
	start_ready(2);
	tell(EVENT_LEAVING, 0, worker_in(0, SLOT_READY));
	ck_assert_int_eq(slot_at(0).state, SLOT_DRAINING);
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	exits(0, SLOT_DRAINING, 0);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	ck_assert_int_eq(last(REPORT_EXITED)->why, WHY_ITSELF);
}

TEST(too_many_deaths_in_the_window_fail_the_cluster)
{
	b.s->give_up_count = 3;
	b.s->give_up_window = 10 * SECOND;
	start(2);
	gets_ready(0);
	exits(1, SLOT_STARTING, 1);
	pass(11 * SECOND);
	exits(1, SLOT_STARTING, 1);
	pass(SECOND);
	exits(1, SLOT_STARTING, 1);
	ck_assert_uint_eq(reports(REPORT_GAVE_UP), 0);
	pass(SECOND);
	exits(1, SLOT_STARTING, 1);
	ck_assert_uint_eq(last(REPORT_GAVE_UP)->count, 3);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_FAILED);
	goes(0);
	ck_assert_int_eq(cluster_exit_status(b.c), 1);
	ck_assert_int_eq(slot_at(1).state, SLOT_FAILED);
}

/* ---- ending for good ---- */

TEST(on_failure_lets_success_rest_and_tries_failures_again)
{
	b.s->restart = RESTART_ON_FAILURE;
	start(2);
	all_get_ready();
	exits(0, SLOT_READY, 0);
	ck_assert_int_eq(slot_at(0).state, SLOT_ENDED);
	ck_assert_uint_eq(reports(REPORT_SLOT_ENDED), 1);
	exits(1, SLOT_READY, 7);
	ck_assert_int_eq(slot_at(1).state, SLOT_STARTING);
	gets_ready(1);
	exits(1, SLOT_READY, 0);
	ck_assert_int_eq(cluster_exit_status(b.c), 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPED);
}

TEST(the_first_status_that_was_no_success_is_the_clusters)
{
	b.s->restart = RESTART_NEVER;
	b.s->success_exit[0] |= 1U << 9;
	start(3);
	exits(0, SLOT_STARTING, 9);
	crashes(1, SLOT_STARTING);
	ck_assert_uint_eq(reports(REPORT_ENDED), 0);
	exits(2, SLOT_STARTING, 4);
	ck_assert_int_eq(cluster_exit_status(b.c), 128 + SIGSEGV);
	ck_assert_int_eq(slot_at(0).state, SLOT_ENDED);
	ck_assert_int_eq(slot_at(1).state, SLOT_FAILED);
}

/* ---- stopping ---- */

TEST(a_stop_asks_everybody_and_ends_when_all_are_gone)
{
	start_ready(3);
	stop(false);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 3);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPING);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(reports(REPORT_ENDED), 0);
		goes(i);
	}
	ck_assert_int_eq(cluster_exit_status(b.c), 0);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_STOPPED);
	ck_assert_int_eq(cluster_next_deadline(b.c), NSEC_NEVER);
	stop(true);
	ck_assert_uint_eq(reports(REPORT_ENDED), 1);
}

static void ask_for_more(enum slot_state state, nsec_t span)
{
	happens((struct event){
		.kind = EVENT_EXTEND,
		.worker = worker_in(0, state),
		.span = span,
	});
}

TEST(one_that_asks_for_more_without_end_has_an_hour)
{
	start_ready(1);
	stop(false);
	ask_for_more(SLOT_STOPPING, 2 * MINUTE);
	for (int i = 0; i < 59; i++) {
		pass(MINUTE);
		ask_for_more(SLOT_STOPPING, 2 * MINUTE);
		ck_assert_uint_eq(actions(ACTION_KILL), 0);
	}
	ask_for_more(SLOT_STOPPING, NSEC_NEVER);
	pass(59 * SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	pass(SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

TEST(a_start_has_an_hour_and_the_stop_after_it_another)
{
	start(1);
	ask_for_more(SLOT_STARTING, NSEC_NEVER);
	pass(HOUR - SECOND);
	ask_for_more(SLOT_STARTING, HOUR);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 0);
	pass(SECOND);
	ck_assert_uint_eq(reports(REPORT_START_TIMEOUT), 1);
	ask_for_more(SLOT_STOPPING, HOUR);
	pass(HOUR - SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 0);
	pass(SECOND);
	ck_assert_uint_eq(actions(ACTION_KILL), 1);
}

/* ---- scaling, turns ---- */

TEST(fewer_takes_the_highest_and_leaves_the_rest_alone)
{
	start_ready(4);
	scale(2);
	ck_assert_int_eq(slot_at(3).state, SLOT_STOPPING);
	ck_assert_int_eq(slot_at(2).state, SLOT_STOPPING);
	ck_assert_int_eq(slot_at(1).state, SLOT_READY);
	ck_assert_uint_eq(last(REPORT_STOPPING)->slot, 2);
	ck_assert_uint_eq(cluster_slots(b.c), 4);
	goes(3);
	goes(2);
	ck_assert_uint_eq(cluster_slots(b.c), 2);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(turns_go_round_the_ready_ones)
{
	start(4);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), SLOT_ALL);
	gets_ready(0);
	gets_ready(1);
	gets_ready(3);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), 0);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), 1);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, true), 0);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), 3);
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), 0);
	tell(EVENT_LEAVING, 1, worker_in(1, SLOT_READY));
	ck_assert_uint_eq(cluster_next_in_turn(b.c, false), 3);
}

TEST(a_tick_may_ask_for_one_spawn_and_the_rest_follows)
{
	struct event e = {.kind = EVENT_TICK, .now = b.now, .count = 1};
	struct actions out;

	prepare(50);
	for (uint32_t i = 0; i < 50; i++) {
		ck_assert_int_le(cluster_next_deadline(b.c), b.now);
		cluster_handle(b.c, &e, &out);
		ck_assert_uint_eq(out.count, 1);
		ck_assert_int_eq(out.list[0].kind, ACTION_SPAWN);
		ck_assert_uint_eq(out.list[0].slot, i);
	}
	cluster_handle(b.c, &e, &out);
	ck_assert_uint_eq(out.count, 0);
	ck_assert_int_gt(cluster_next_deadline(b.c), b.now);
	cluster_free(b.c);
	b.c = NULL;
}

TEST(a_thousand_slots_stop_a_few_at_a_time)
{
	start_ready(1000);
	stop(false);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1000);
	forget();
}

TEST(a_spare_is_released_before_a_successor_is_born)
{
	unsigned at = 0;

	b.s->spare = 1;
	start(1);
	tell(EVENT_GATE, 0, worker_in(0, SLOT_STARTING));
	gets_ready(0);
	tell(EVENT_GATE, 1, worker_in(1, SLOT_STARTING));
	pass(2 * SECOND);
	ck_assert_uint_eq(actions(ACTION_RELEASE), 1);
	forget();
	crashes(0, SLOT_READY);
	while (at < b.count && b.kept[at].kind != ACTION_SPAWN)
		at++;
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
	ck_assert_uint_eq(actions(ACTION_RELEASE), 1);
	ck_assert_uint_eq(b.kept[at].slot, 0);
	b.count = at;
	ck_assert_uint_eq(actions(ACTION_RELEASE), 1);
}
