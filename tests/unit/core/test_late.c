/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include "core/adopt.h"
#include "core/cluster.h"
#include "core/internal.h"

/* A rollout that is done, and fails after all: where readiness is but guessed, each
 * new worker is watched until it has been ready for stable-after. */

static void new_one_listens(uint32_t slot, unsigned generation)
{
	tell(EVENT_LISTENING, slot, worker_of(slot, generation));
}

static void new_one_dies(uint32_t slot)
{
	dies(slot, worker_of(slot, 2));
}

/* Two slots, where readiness is guessed. */
static void start_two(void)
{
	(void)guessing(b.s, READY_LISTEN);
	start_listening(2);
}

/* To generation 2: all are replaced, the second one a moment ago. */
static void be_done(struct cluster_settings *settings)
{
	if (settings == NULL)
		restart();
	else
		deploy(settings);
	new_one_listens(0, 2);
	pass(SECOND);
	goes(0);
	new_one_listens(1, 2);
	goes(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
}

static void nothing_failed(void)
{
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 0);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
}

TEST(the_second_one_ends_soon_after_and_all_go_back)
{
	const struct report *r;

	start_two();
	be_done(guessing(plain_settings(), READY_LISTEN));
	pass(300 * MSEC);
	new_one_dies(1);
	r = last(REPORT_ROLLOUT_FAILED);
	ck_assert_uint_eq(r->rollout, 1);
	ck_assert_uint_eq(r->slot, 1);
	ck_assert_int_eq(r->span, 300 * MSEC);
	ck_assert(r->back);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	/* one at a time, as ever: first the slot that is empty */
	ck_assert(rollout_now().going_back);
	ck_assert_ptr_eq(rollout_now().settings, b.s);
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	ck_assert_uint_eq(slot_at(0).workers, 1);
	new_one_listens(1, 3);
	ck_assert_uint_eq(slot_at(0).workers, 2);
	new_one_listens(0, 3);
	goes(0);
	ck_assert(last(REPORT_ROLLOUT_DONE)->back);
	ck_assert_uint_eq(cluster_generation(b.c), 3);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert(cluster_is_settled(b.c));
}

TEST(the_same_settings_are_no_way_back)
{
	start_two();
	be_done(NULL);
	forget();
	new_one_dies(1);
	ck_assert(!last(REPORT_ROLLOUT_FAILED)->back);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_STARTED), 0);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	/* it is tried again, as any that dies */
	new_one_listens(1, 2);
	ck_assert(cluster_is_settled(b.c));
	/* and that is told once */
	new_one_dies(0);
	new_one_dies(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 1);
}

TEST(each_is_watched_for_stable_after_and_no_longer)
{
	start_two();
	be_done(guessing(plain_settings(), READY_LISTEN));
	new_one_dies(0); /* it has been ready for that long */
	nothing_failed();
	pass(MSEC);
	new_one_listens(0, 2);
	new_one_dies(0); /* that was no worker of the rollout */
	nothing_failed();
	pass(SECOND);
	new_one_dies(1);
	nothing_failed();
}

TEST(one_that_ends_as_it_should_is_no_failure)
{
	struct cluster_settings *newer = guessing(plain_settings(), READY_LISTEN);

	start_two();
	newer->restart = RESTART_ON_FAILURE;
	be_done(newer);
	exits(1, SLOT_READY, 0);
	nothing_failed();
}

TEST_LOOP(what_is_asked_for_next_ends_the_watch, 0, 2)
{
	struct cluster_settings *newer = guessing(plain_settings(), READY_LISTEN);

	start_two();
	be_done(guessing(plain_settings(), READY_LISTEN));
	if (_i == 0)
		deploy(newer);
	else
		change(newer, false);
	new_one_dies(1);
	ck_assert_uint_eq(reports(REPORT_ROLLOUT_FAILED), 0);
}

TEST(the_settings_of_before_are_known_no_longer_than_needed)
{
	start_two();
	be_done(guessing(plain_settings(), READY_LISTEN));
	ck_assert_uint_eq(b.s->refs, 2);
	pass(SECOND);
	happens((struct event){.kind = EVENT_TICK});
	ck_assert_uint_eq(b.s->refs, 1);
}

TEST(a_carried_one_that_has_lost_its_way_back_is_refused)
{
	struct generation *before;

	start_two();
	be_done(guessing(plain_settings(), READY_LISTEN));
	ck_assert_pstr_eq(cluster_restore(b.c), NULL);
	before = cluster_find_generation(b.c, 1);
	before->number = 2;
	before[1].number = 3;
	b.c->last_generation = 3;
	b.c->generation = 3;
	ck_assert_str_eq(cluster_restore(b.c), "the generation before the rollout is missing");
	before->number = 1;
	before[1].number = 2;
	b.c->generation = 2;
}
