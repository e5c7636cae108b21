/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* A command without a port that ends with success has done its work. */

static void start_jobs(unsigned slots, enum ready_mode ready)
{
	b.s->ready = ready;
	b.s->restart_pause = 3 * SECOND;
	start(slots);
}

static void does_its_work(uint32_t slot)
{
	ends(slot, slot_at(slot).worker[0].id, (struct ending){.kind = ENDING_EXIT, .done = true});
}

TEST_LOOP(it_is_no_failure_and_is_done_again_after_a_pause_that_does_not_grow, 0, 2)
{
	b.opens = true;
	start_jobs(2, _i == 0 ? READY_ALIVE : READY_AUTO);
	for (int i = 0; i < 10; i++) {
		pass(400 * MSEC);
		does_its_work(0);
		does_its_work(1);
		ck_assert(last(REPORT_EXITED)->wait == 3 * SECOND);
		ck_assert_uint_eq(last(REPORT_EXITED)->early, 0);
		ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
		pass(3 * SECOND);
	}
	ck_assert_uint_eq(reports(REPORT_ALL_READY), 1);
	ck_assert_uint_eq(last(REPORT_ALL_READY)->count, 2);
	ck_assert(cluster_ever_ready(b.c));
}

TEST(work_of_a_second_is_begun_again_at_once)
{
	start_jobs(1, READY_ALIVE);
	for (int i = 0; i < 5; i++) {
		pass(1500 * MSEC);
		does_its_work(0);
		ck_assert(last(REPORT_EXITED)->wait == 0);
	}
}

TEST(a_rollout_is_done_when_all_have_done_their_work_by_the_new_settings)
{
	start_jobs(2, READY_ALIVE);
	does_its_work(0);
	does_its_work(1);
	restart();
	for (int i = 0; i < 10 && reports(REPORT_ROLLOUT_DONE) == 0; i++) {
		for (uint32_t slot = 0; slot < 2; slot++)
			if (slot_at(slot).state == SLOT_STARTING)
				does_its_work(slot);
		pass(4 * SECOND);
	}
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 0);
}

TEST(a_failure_after_it_is_one)
{
	start_jobs(1, READY_ALIVE);
	does_its_work(0);
	pass(3 * SECOND);
	exits(0, SLOT_STARTING, 1);
	ck_assert_uint_eq(last(REPORT_EXITED)->early, 1);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_DEGRADED);
}

TEST(who_says_that_it_is_ready_has_to)
{
	start_jobs(1, READY_NOTIFY);
	does_its_work(0);
	ck_assert_uint_eq(last(REPORT_EXITED)->early, 1);
	ck_assert_uint_eq(reports(REPORT_ALL_READY), 0);
}
