/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* Workers that live, and are not well, or have grown too large or too old. */
static struct bench b;

static void start_as(struct cluster_settings *s, unsigned slots)
{
	bench_start(&b, s, slots);
	bench_all_ready(&b);
	bench_forget(&b);
}

static void start_ready(unsigned slots)
{
	start_as(bench_settings(), slots);
}

static void restart(void)
{
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
}

static uint64_t ready_one(uint32_t slot)
{
	return bench_worker(&b, slot, SLOT_READY);
}

static void tell_why(enum event_kind kind, uint32_t slot, enum why why)
{
	bench_do(&b,
		(struct event){
			.kind = kind,
			.slot = slot,
			.worker = ready_one(slot),
			.why = why,
		});
}

static void is_unwell(uint32_t slot, enum why why)
{
	tell_why(EVENT_UNWELL, slot, why);
}

static void is_too_large(uint32_t slot)
{
	tell_why(EVENT_OUTGROWN, slot, WHY_MEMORY);
}

static void beats(uint32_t slot)
{
	bench_tell(&b, EVENT_ALIVE, slot, ready_one(slot));
}

static void old_one_goes(uint32_t slot)
{
	bench_exit(&b, slot, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
}

static void starting_one_dies(uint32_t slot)
{
	bench_exit(&b, slot, SLOT_STARTING, ENDING_EXIT, 1);
}

static void end(void)
{
	bench_do(&b, (struct event){.kind = EVENT_STOP, .at_once = true});
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (bench_slot(&b, i).workers > 0)
			old_one_goes(i);
	bench_end(&b);
}

/* ---- ready by probe ---- */

TEST(a_probe_that_succeeds_makes_ready_and_nothing_else_does)
{
	struct cluster_settings *s = bench_settings();
	uint64_t worker;

	s->ready = READY_PROBE;
	bench_start(&b, s, 1);
	worker = bench_worker(&b, 0, SLOT_STARTING);
	bench_tell(&b, EVENT_READY, 0, worker);
	bench_tell(&b, EVENT_LISTENING, 0, worker);
	bench_pass(&b, 10 * SECOND);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STARTING);
	bench_tell(&b, EVENT_PROVED, 0, worker);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	bench_tell(&b, EVENT_PROVED, 0, worker);
	ck_assert_uint_eq(bench_reports(&b, REPORT_SURPRISE), 0);
	end();
}

TEST_LOOP(a_probe_is_no_sign_to_any_other_mode, 0, 4)
{
	static const enum ready_mode modes[] = {
		READY_AUTO, READY_NOTIFY, READY_ALIVE, READY_LISTEN};
	struct cluster_settings *s = bench_settings();

	s->ready = modes[_i];
	bench_start(&b, s, 1);
	bench_tell(&b, EVENT_PROVED, 0, 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STARTING);
	end();
}

/* ---- the watchdog ---- */

static void start_watched(unsigned slots)
{
	struct cluster_settings *s = bench_settings();

	s->watchdog = 10 * SECOND;
	start_as(s, slots);
}

TEST(who_sends_watchdog_in_time_is_left_alone)
{
	start_watched(1);
	for (int i = 0; i < 5; i++) {
		bench_pass(&b, 9 * SECOND);
		beats(0);
	}
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	end();
}

TEST(who_is_silent_is_aborted_and_replaced_as_after_a_crash)
{
	start_watched(1);
	bench_pass(&b, 10 * SECOND);
	ck_assert_int_eq(bench_last(&b, REPORT_UNWELL)->why, WHY_WATCHDOG);
	ck_assert_int_eq(bench_last(&b, REPORT_UNWELL)->age, 10 * SECOND);
	ck_assert_int_eq(bench_last_action(&b, ACTION_SIGNAL)->signal, SIGABRT);
	ck_assert_uint_eq(cluster_ready(b.c), 0);
	bench_exit(&b, 0, SLOT_STOPPING, ENDING_SIGNAL, SIGABRT);
	ck_assert_int_eq(bench_last(&b, REPORT_EXITED)->why, WHY_WATCHDOG);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_STARTING);
	ck_assert_uint_eq(bench_slot(&b, 0).restarts, 1);
	end();
}

TEST(who_does_not_hear_the_abort_is_killed)
{
	start_watched(1);
	bench_pass(&b, 40 * SECOND - 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 0);
	bench_pass(&b, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_KILL), 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(time_that_nclust_stood_still_is_granted_to_the_watchdog)
{
	start_watched(1);
	b.now += 60 * SECOND;
	bench_do(&b, (struct event){.kind = EVENT_LATE, .span = 60 * SECOND});
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	bench_pass(&b, 10 * SECOND);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

/* nclust gets the CPU so long after the watchdog's end. */
static void come_late(nsec_t late)
{
	b.now = cluster_next_deadline(b.c) + late;
	bench_settle(&b);
}

TEST(if_nclust_comes_late_there_is_a_moment_more_once)
{
	start_watched(1);
	for (int i = 0; i < 3; i++) {
		come_late(800 * MSEC);
		ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
		bench_pass(&b, 100 * MSEC);
		beats(0);
	}
	come_late(800 * MSEC);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	come_late(800 * MSEC);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 1);
	end();
}

TEST(settings_without_a_watchdog_expect_nothing_any_more)
{
	start_watched(1);
	bench_do(&b,
		(struct event){
			.kind = EVENT_SETTINGS,
			.settings = bench_settings(),
		});
	bench_pass(&b, HOUR);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	end();
}

TEST(silent_deaths_count_towards_giving_up)
{
	struct cluster_settings *s = bench_settings();

	s->give_up_count = 2;
	s->give_up_window = HOUR;
	start_as(s, 2);
	for (uint32_t i = 0; i < 2; i++) {
		is_unwell(i, WHY_STALL);
		bench_exit(&b, i, SLOT_STOPPING, ENDING_SIGNAL, SIGABRT);
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_GAVE_UP), 1);
	end();
}

TEST_LOOP(one_that_stalls_or_says_so_itself_is_aborted_too, 0, 2)
{
	enum why why = _i == 0 ? WHY_STALL : WHY_WATCHDOG;

	start_ready(1);
	is_unwell(0, why);
	ck_assert_int_eq(bench_last(&b, REPORT_UNWELL)->why, why);
	ck_assert_int_eq(bench_last_action(&b, ACTION_SIGNAL)->signal, SIGABRT);
	end();
}

/* ---- failed checks ---- */

/* Or owes an answer. */
TEST_LOOP(one_that_fails_its_checks_serves_until_its_successor_is_ready, 0, 2)
{
	enum why why = _i == 0 ? WHY_CHECK : WHY_REQUEST;

	start_ready(2);
	is_unwell(1, why);
	ck_assert_int_eq(bench_last(&b, REPORT_UNWELL)->why, why);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SIGNAL), 0);
	is_unwell(1, WHY_CHECK); /* still; told once */
	ck_assert_uint_eq(bench_reports(&b, REPORT_UNWELL), 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 1);
	bench_ready(&b, 1);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, why);
	ck_assert_uint_eq(bench_last(&b, REPORT_STOPPING)->worker, 2);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	old_one_goes(1);
	ck_assert_uint_eq(bench_slot(&b, 1).restarts, 0);
	ck_assert_int_eq(bench_last(&b, REPORT_EXITED)->wait, NSEC_NEVER);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert(cluster_is_settled(b.c));
	end();
}

TEST(an_unwell_one_is_drained)
{
	struct cluster_settings *s = bench_settings();

	s->drain = DRAIN_QUIET;
	s->drain_timeout = SECOND;
	start_as(s, 1);
	is_unwell(0, WHY_CHECK);
	bench_ready(&b, 0);
	ck_assert_int_eq(bench_last(&b, REPORT_DRAINING)->why, WHY_CHECK);
	end();
}

TEST(a_successor_takes_the_place_of_an_unwell_one_that_dies)
{
	start_ready(1);
	is_unwell(0, WHY_CHECK);
	bench_exit(&b, 0, SLOT_READY, ENDING_SIGNAL, SIGSEGV);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 1);
	bench_ready(&b, 0);
	ck_assert(cluster_is_settled(b.c));
	end();
}

TEST(a_successor_that_fails_is_tried_again_later_and_later)
{
	nsec_t wait = 100 * MSEC;

	start_ready(1);
	is_unwell(0, WHY_CHECK);
	for (int i = 0; i < 4; i++) {
		starting_one_dies(0);
		ck_assert_int_eq(bench_last(&b, REPORT_EXITED)->wait, wait);
		ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
		bench_forget(&b);
		bench_pass(&b, wait - 1);
		ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 0);
		bench_pass(&b, 1);
		ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 1);
		wait *= 2;
	}
	ck_assert_uint_eq(bench_slot(&b, 0).restarts, 0);
	end();
}

TEST(a_successor_that_is_not_ready_in_time_is_tried_again)
{
	start_ready(1);
	is_unwell(0, WHY_CHECK);
	bench_pass(&b, 60 * SECOND);
	ck_assert_uint_eq(bench_reports(&b, REPORT_START_TIMEOUT), 1);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_READY);
	old_one_goes(0);
	bench_pass(&b, 100 * MSEC);
	ck_assert_uint_eq(bench_actions(&b, ACTION_SPAWN), 2);
	end();
}

TEST(successors_that_fail_are_no_reason_to_give_up)
{
	struct cluster_settings *s = bench_settings();

	s->give_up_count = 2;
	s->give_up_window = HOUR;
	start_as(s, 1);
	is_unwell(0, WHY_CHECK);
	for (int i = 0; i < 5; i++) {
		starting_one_dies(0);
		bench_pass(&b, 30 * SECOND);
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_GAVE_UP), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	end();
}

TEST(not_all_unwell_ones_are_replaced_at_once)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 2;
	start_as(s, 4);
	for (uint32_t i = 0; i < 4; i++)
		is_unwell(i, WHY_CHECK);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	bench_ready(&b, 0);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	old_one_goes(0);
	ck_assert_uint_eq(cluster_alive(b.c), 6);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	end();
}

TEST(a_turn_lasts_until_the_old_one_is_gone_even_if_the_new_one_dies)
{
	start_ready(3);
	for (uint32_t i = 0; i < 3; i++)
		is_unwell(i, WHY_CHECK);
	bench_ready(&b, 0);
	bench_exit(&b, 0, SLOT_READY, ENDING_SIGNAL, SIGSEGV);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2); /* yet another */
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 1);
	bench_ready(&b, 0);
	ck_assert_uint_eq(cluster_alive(b.c), 4);
	old_one_goes(0);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	ck_assert_uint_eq(cluster_alive(b.c), 4);
	end();
}

TEST(one_that_cannot_be_replaced_does_not_hold_up_the_others)
{
	start_ready(3);
	for (uint32_t i = 0; i < 3; i++)
		is_unwell(i, WHY_CHECK);
	starting_one_dies(0);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	bench_ready(&b, 1);
	old_one_goes(1);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 2);
	bench_ready(&b, 2);
	bench_pass(&b, SECOND);
	old_one_goes(2);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	end();
}

TEST(a_stop_ends_a_replacement)
{
	start_ready(2);
	is_unwell(0, WHY_CHECK);
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	for (uint32_t i = 0; i < 2; i++)
		while (bench_slot(&b, i).workers > 0)
			old_one_goes(i);
	ck_assert_uint_eq(bench_actions(&b, ACTION_ENDED), 1);
	restart();
	bench_all_ready(&b);
	is_unwell(1, WHY_CHECK); /* and the next one has its turn */
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	end();
}

TEST(a_rollout_replaces_an_unwell_one_when_its_gate_is_shut)
{
	start_ready(2);
	is_unwell(0, WHY_CHECK);
	restart();
	bench_ready(&b, 0);
	old_one_goes(0);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t slot = bench_rollout(&b).slot;

		bench_ready(&b, slot);
		old_one_goes(slot);
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert(cluster_is_settled(b.c));
	end();
}

/* ---- those that are unfit again and again ---- */

/* Its worker becomes unfit, and is replaced after that time. */
static void unfit_for(enum why why, nsec_t wait)
{
	enum report_kind kind =
		why == WHY_MEMORY ? REPORT_OUTGROWN : REPORT_UNWELL;

	tell_why(why == WHY_MEMORY ? EVENT_OUTGROWN : EVENT_UNWELL, 0, why);
	ck_assert_int_eq(bench_last(&b, kind)->wait, wait);
	if (wait > 0) {
		ck_assert_int_eq(bench_slot(&b, 0).mend_at, b.now + wait);
		bench_pass(&b, wait - 1);
		ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
		ck_assert_uint_eq(cluster_ready(b.c), 1);
		bench_pass(&b, 1);
	}
	ck_assert_int_eq(bench_slot(&b, 0).mend_at, NSEC_NEVER);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	bench_ready(&b, 0);
	old_one_goes(0);
}

TEST_LOOP(
	one_whose_successor_is_unfit_soon_again_serves_longer_and_longer, 0, 2)
{
	static const enum why whys[] = {WHY_CHECK, WHY_MEMORY};
	struct cluster_settings *s = bench_settings();
	nsec_t wait = s->backoff_min;

	s->backoff_max = SECOND;
	start_as(s, 1);
	unfit_for(whys[_i], 0);
	for (int k = 0; k < 6; k++) {
		bench_pass(&b, 9 * SECOND);
		unfit_for(whys[_i], wait);
		wait = wait > s->backoff_max / 2 ? s->backoff_max : 2 * wait;
	}
	ck_assert_uint_eq(bench_slot(&b, 0).restarts, 0);
	end();
}

TEST(one_that_was_fit_for_long_is_replaced_at_once_again)
{
	start_ready(1);
	unfit_for(WHY_MEMORY, 0);
	unfit_for(WHY_CHECK, 100 * MSEC);
	bench_pass(&b, 10 * SECOND);
	unfit_for(WHY_CHECK, 0);
	unfit_for(WHY_CHECK, 100 * MSEC);
	restart(); /* new workers, none of which was unfit */
	bench_ready(&b, 0);
	old_one_goes(0);
	unfit_for(WHY_CHECK, 0);
	end();
}

TEST_LOOP(one_that_has_done_its_work_does_not_wait, 0, 2)
{
	start_ready(1);
	for (int k = 0; k < 4; k++) {
		tell_why(EVENT_OUTGROWN, 0, _i == 0 ? WHY_SERVED : WHY_SOCKET);
		ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
		bench_ready(&b, 0);
		old_one_goes(0);
	}
	end();
}

/* ---- recycling ---- */

TEST(those_that_have_grown_too_large_are_replaced_one_by_one)
{
	struct cluster_settings *s = bench_settings();

	s->surge = 3;
	start_as(s, 3);
	for (uint32_t i = 0; i < 3; i++)
		is_too_large(i);
	ck_assert_uint_eq(bench_reports(&b, REPORT_OUTGROWN), 3);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(cluster_alive(b.c), 4);
		is_too_large(i); /* still; told once */
		bench_ready(&b, i);
		ck_assert_int_eq(
			bench_last(&b, REPORT_STOPPING)->why, WHY_MEMORY);
		old_one_goes(i);
	}
	ck_assert_uint_eq(bench_reports(&b, REPORT_OUTGROWN), 3);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_uint_eq(bench_slot(&b, 1).restarts, 0);
	end();
}

TEST(recycling_waits_for_a_rollout_and_goes_on_after_it)
{
	start_ready(2);
	restart();
	bench_ready(&b, 0);
	is_too_large(0);
	old_one_goes(0);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	bench_ready(&b, 1);
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	end();
}

TEST(an_old_worker_is_replaced_at_its_age_more_or_less)
{
	struct cluster_settings *s = bench_settings();
	bool differs = false;

	s->max_age = HOUR;
	s->start_timeout = 3 * HOUR;
	start_as(s, 1);
	for (int i = 0; i < 20; i++) {
		struct worker_view w = bench_slot(&b, 0).worker[0];
		nsec_t served;

		bench_pass(&b, HOUR / 100 * 90 - 1);
		ck_assert_uint_eq(bench_reports(&b, REPORT_OUTGROWN), 0);
		bench_pass(&b, HOUR / 100 * 20 + 1);
		ck_assert_int_eq(bench_last(&b, REPORT_OUTGROWN)->why, WHY_AGE);
		served = bench_last(&b, REPORT_OUTGROWN)->age -
			(w.ready_at - w.born);
		differs |= served != HOUR;
		bench_ready(&b, 0);
		old_one_goes(0);
		bench_forget(&b);
	}
	ck_assert(differs);
	end();
}

TEST(a_new_max_age_holds_for_those_that_run)
{
	struct cluster_settings *other = bench_settings();

	start_ready(2);
	bench_pass(&b, 2 * HOUR);
	other->max_age = HOUR;
	bench_do(&b, (struct event){.kind = EVENT_SETTINGS, .settings = other});
	ck_assert_uint_eq(bench_reports(&b, REPORT_OUTGROWN), 2);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	end();
}

TEST(everybody_has_his_turn_even_if_the_first_are_old_again)
{
	struct cluster_settings *s = bench_settings();
	unsigned replaced[3] = {0};

	s->max_age = HOUR;
	s->start_timeout = 3 * HOUR;
	start_as(s, 3);
	for (unsigned i = 0; i < 6; i++) {
		uint32_t slot = 0;

		bench_pass(&b, 2 * HOUR);
		while (bench_slot(&b, slot).workers < 2)
			slot++;
		replaced[slot]++;
		bench_ready(&b, slot);
		old_one_goes(slot);
	}
	for (uint32_t slot = 0; slot < 3; slot++)
		ck_assert_uint_eq(replaced[slot], 2);
	end();
}

TEST(one_that_is_too_large_and_unwell_does_not_wait)
{
	start_ready(2);
	is_too_large(0);
	is_too_large(1);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 1);
	is_unwell(1, WHY_CHECK);
	ck_assert_uint_eq(bench_slot(&b, 1).workers, 2);
	bench_ready(&b, 1);
	ck_assert_int_eq(bench_last(&b, REPORT_STOPPING)->why, WHY_CHECK);
	end();
}
