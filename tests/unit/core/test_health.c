/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* Workers that live, and are not well, or have grown too large or too old. */

static void tell_why(enum event_kind kind, uint32_t slot, enum why why)
{
	happens((struct event){
		.kind = kind,
		.slot = slot,
		.worker = worker_in(slot, SLOT_READY),
		.why = why,
	});
}

static void is_too_large(uint32_t slot)
{
	tell_why(EVENT_OUTGROWN, slot, WHY_MEMORY);
}

static void beats(uint32_t slot)
{
	tell(EVENT_ALIVE, slot, worker_in(slot, SLOT_READY));
}

static void starting_one_dies(uint32_t slot)
{
	exits(slot, SLOT_STARTING, 1);
}

/* ---- the watchdog ---- */

static void start_watched(unsigned slots)
{
	b.s->watchdog = 10 * SECOND;
	start_ready(slots);
}

TEST(who_is_silent_is_aborted_and_replaced_as_after_a_crash)
{
	start_watched(1);
	pass(10 * SECOND);
	ck_assert_int_eq(last(REPORT_UNWELL)->why, WHY_WATCHDOG);
	ck_assert_int_eq(last(REPORT_UNWELL)->age, 10 * SECOND);
	ck_assert_int_eq(last_action(ACTION_SIGNAL)->signal, SIGABRT);
	ck_assert_uint_eq(cluster_ready(b.c), 0);
	goes(0);
	ck_assert_int_eq(last(REPORT_EXITED)->why, WHY_WATCHDOG);
	ck_assert_int_eq(slot_at(0).state, SLOT_STARTING);
	ck_assert_uint_eq(slot_at(0).restarts, 1);
}

/* nclust gets the CPU so long after the watchdog's end. */
static void come_late(nsec_t late)
{
	b.now = cluster_next_deadline(b.c) + late;
	settle();
}

TEST(if_nclust_comes_late_there_is_a_moment_more_once)
{
	start_watched(1);
	for (int i = 0; i < 3; i++) {
		come_late(800 * MSEC);
		ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
		pass(100 * MSEC);
		beats(0);
	}
	come_late(800 * MSEC);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	come_late(800 * MSEC);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 1);
}

TEST(settings_without_a_watchdog_expect_nothing_any_more)
{
	start_watched(1);
	change(plain_settings(), false);
	pass(HOUR);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
}

TEST_LOOP(one_that_stalls_or_says_so_itself_is_aborted_too, 0, 2)
{
	enum why why = _i == 0 ? WHY_STALL : WHY_WATCHDOG;

	start_ready(1);
	tell_why(EVENT_UNWELL, 0, why);
	ck_assert_int_eq(last(REPORT_UNWELL)->why, why);
	ck_assert_int_eq(last_action(ACTION_SIGNAL)->signal, SIGABRT);
}

/* ---- failed checks ---- */

/* Or owes an answer. */
TEST_LOOP(one_that_fails_its_checks_serves_until_its_successor_is_ready, 0, 2)
{
	enum why why = _i == 0 ? WHY_CHECK : WHY_REQUEST;

	start_ready(2);
	tell_why(EVENT_UNWELL, 1, why);
	ck_assert_int_eq(last(REPORT_UNWELL)->why, why);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	ck_assert_uint_eq(actions(ACTION_SIGNAL), 0);
	tell_why(EVENT_UNWELL, 1, WHY_CHECK); /* still; told once */
	ck_assert_uint_eq(reports(REPORT_UNWELL), 1);
	ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
	gets_ready(1);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, why);
	ck_assert_uint_eq(last(REPORT_STOPPING)->worker, 2);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	goes(1);
	ck_assert_uint_eq(slot_at(1).restarts, 0);
	ck_assert_int_eq(last(REPORT_EXITED)->wait, NSEC_NEVER);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	ck_assert(cluster_is_settled(b.c));
}

TEST(a_successor_that_fails_is_tried_again_later_and_later)
{
	nsec_t wait = 100 * MSEC;

	start_ready(1);
	tell_why(EVENT_UNWELL, 0, WHY_CHECK);
	for (int i = 0; i < 4; i++) {
		starting_one_dies(0);
		ck_assert_int_eq(last(REPORT_EXITED)->wait, wait);
		ck_assert_int_eq(slot_at(0).state, SLOT_READY);
		forget();
		pass(wait - 1);
		ck_assert_uint_eq(actions(ACTION_SPAWN), 0);
		pass(1);
		ck_assert_uint_eq(actions(ACTION_SPAWN), 1);
		wait *= 2;
	}
	ck_assert_uint_eq(slot_at(0).restarts, 0);
}

TEST(one_that_is_unfit_again_lets_the_next_go_first)
{
	start_ready(2);
	tell_why(EVENT_OUTGROWN, 0, WHY_SERVED);
	tell_why(EVENT_OUTGROWN, 1, WHY_SERVED);
	gets_ready(0);
	tell_why(EVENT_OUTGROWN, 0, WHY_SERVED);
	goes(0);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	ck_assert_uint_eq(slot_at(1).workers, 2);
}

TEST(a_stop_ends_a_replacement)
{
	start_ready(2);
	tell_why(EVENT_UNWELL, 0, WHY_CHECK);
	stop(false);
	for (uint32_t i = 0; i < 2; i++)
		while (slot_at(i).workers > 0)
			goes(i);
	ck_assert_uint_eq(reports(REPORT_ENDED), 1);
	restart();
	all_get_ready();
	tell_why(EVENT_UNWELL, 1, WHY_CHECK); /* and the next one has its turn */
	ck_assert_uint_eq(slot_at(1).workers, 2);
}

TEST(a_rollout_replaces_an_unwell_one_when_its_gate_is_shut)
{
	start_ready(2);
	tell_why(EVENT_UNWELL, 0, WHY_CHECK);
	restart();
	gets_ready(0);
	goes(0);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t slot = rollout_now().slot;

		gets_ready(slot);
		goes(slot);
	}
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert(cluster_is_settled(b.c));
}

/* ---- those that are unfit again and again ---- */

/* Its worker becomes unfit, and is replaced after that time. */
static void unfit_for(enum why why, nsec_t wait)
{
	enum report_kind kind = why == WHY_MEMORY ? REPORT_OUTGROWN : REPORT_UNWELL;

	tell_why(why == WHY_MEMORY ? EVENT_OUTGROWN : EVENT_UNWELL, 0, why);
	ck_assert_int_eq(last(kind)->wait, wait);
	if (wait > 0) {
		ck_assert_int_eq(slot_at(0).mend_at, b.now + wait);
		pass(wait - 1);
		ck_assert_uint_eq(slot_at(0).workers, 1);
		ck_assert_uint_eq(cluster_ready(b.c), 1);
		pass(1);
	}
	ck_assert_int_eq(slot_at(0).mend_at, NSEC_NEVER);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	gets_ready(0);
	goes(0);
}

TEST_LOOP(one_whose_successor_is_unfit_soon_again_serves_longer_and_longer, 0, 2)
{
	static const enum why whys[] = {WHY_CHECK, WHY_MEMORY};
	nsec_t wait = b.s->backoff_min;

	b.s->backoff_max = SECOND;
	start_ready(1);
	unfit_for(whys[_i], 0);
	for (int k = 0; k < 6; k++) {
		pass(9 * SECOND);
		unfit_for(whys[_i], wait);
		wait = wait > b.s->backoff_max / 2 ? b.s->backoff_max : 2 * wait;
	}
	ck_assert_uint_eq(slot_at(0).restarts, 0);
}

TEST(one_that_was_fit_for_long_is_replaced_at_once_again)
{
	start_ready(1);
	unfit_for(WHY_MEMORY, 0);
	unfit_for(WHY_CHECK, 100 * MSEC);
	pass(10 * SECOND);
	unfit_for(WHY_CHECK, 0);
	unfit_for(WHY_CHECK, 100 * MSEC);
	restart(); /* new workers, none of which was unfit */
	gets_ready(0);
	goes(0);
	unfit_for(WHY_CHECK, 0);
}

TEST_LOOP(one_that_has_done_its_work_does_not_wait, 0, 2)
{
	start_ready(1);
	for (int k = 0; k < 4; k++) {
		tell_why(EVENT_OUTGROWN, 0, _i == 0 ? WHY_SERVED : WHY_SOCKET);
		ck_assert_uint_eq(slot_at(0).workers, 2);
		gets_ready(0);
		goes(0);
	}
}

/* ---- recycling ---- */

TEST_LOOP(one_that_must_be_alone_goes_before_its_successor_comes, 0, 4)
{
	static const enum why reasons[] = {WHY_MEMORY, WHY_REQUEST, WHY_SERVED};

	b.s->surge = b.s->max_unavailable = COUNT_AUTO;
	b.s->max_age = _i == 3 ? HOUR : 0;
	start_ready(1);
	must_be_alone();
	if (_i < 3)
		tell_why(_i == 1 ? EVENT_UNWELL : EVENT_OUTGROWN, 0, reasons[_i]);
	while (slot_at(0).state == SLOT_READY && b.now < 2 * HOUR)
		pass(10 * SECOND);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	ck_assert_int_eq(slot_at(0).state, SLOT_STOPPING);
	goes(0);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	gets_ready(0);
	ck_assert_uint_eq(slot_at(0).restarts, 0);
}

TEST(those_that_have_grown_too_large_are_replaced_one_by_one)
{
	b.s->surge = 3;
	start_ready(3);
	for (uint32_t i = 0; i < 3; i++)
		is_too_large(i);
	ck_assert_uint_eq(reports(REPORT_OUTGROWN), 3);
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(cluster_alive(b.c), 4);
		is_too_large(i); /* still; told once */
		gets_ready(i);
		ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_MEMORY);
		goes(i);
	}
	ck_assert_uint_eq(reports(REPORT_OUTGROWN), 3);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_uint_eq(slot_at(1).restarts, 0);
}

TEST(an_old_worker_is_replaced_at_its_age_more_or_less)
{
	bool differs = false;

	b.s->max_age = HOUR;
	b.s->start_timeout = 3 * HOUR;
	start_ready(1);
	for (int i = 0; i < 20; i++) {
		struct worker_view w = slot_at(0).worker[0];
		nsec_t served;

		pass(HOUR / 100 * 90 - 1);
		ck_assert_uint_eq(reports(REPORT_OUTGROWN), 0);
		pass(HOUR / 100 * 20 + 1);
		ck_assert_int_eq(last(REPORT_OUTGROWN)->why, WHY_AGE);
		served = last(REPORT_OUTGROWN)->age - (w.ready_at - w.born);
		differs |= served != HOUR;
		gets_ready(0);
		goes(0);
		forget();
	}
	ck_assert(differs);
}

TEST(one_that_is_too_large_and_unwell_does_not_wait)
{
	start_ready(2);
	is_too_large(0);
	is_too_large(1);
	ck_assert_uint_eq(slot_at(1).workers, 1);
	tell_why(EVENT_UNWELL, 1, WHY_CHECK);
	ck_assert_uint_eq(slot_at(1).workers, 2);
	gets_ready(1);
	ck_assert_int_eq(last(REPORT_STOPPING)->why, WHY_CHECK);
}
