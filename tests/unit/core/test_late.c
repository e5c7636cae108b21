/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

#include "core/image.h"
#include "core/inside.h"

/* A rollout that is done, and fails after all: where readiness is but guessed, each
 * new worker is watched until it has been ready for stable-after. */
static struct bench b;
static struct cluster_settings *fresh; /* what is rolled out */

static struct cluster_settings *guessing(enum ready_mode ready)
{
	struct cluster_settings *s = bench_settings();

	s->ready = ready;
	s->bake = BAKE_AUTO;
	return s;
}

static void listens(uint32_t slot, unsigned generation)
{
	bench_tell(&b, EVENT_LISTENING, slot,
		bench_of_generation(&b, slot, generation));
}

static void old_one_goes(uint32_t slot)
{
	bench_exit(&b, slot, SLOT_STOPPING, ENDING_SIGNAL, SIGTERM);
}

static void dies(uint32_t slot, unsigned generation)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_EXITED,
			.slot = slot,
			.worker = bench_of_generation(&b, slot, generation),
			.ending = {.kind = ENDING_EXIT, .code = 1},
		});
}

/* Two slots, where readiness is guessed. */
static void start_two(void)
{
	bench_start(&b, guessing(READY_LISTEN), 2);
	bench_listens(&b, 0);
	bench_listens(&b, 1);
	bench_forget(&b);
}

static void roll(struct cluster_settings *settings)
{
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = settings,
		});
}

/* To generation 2: all are replaced, the second one a moment ago. */
static void be_done(struct cluster_settings *settings)
{
	roll(settings);
	listens(0, 2);
	bench_pass(&b, SECOND);
	old_one_goes(0);
	listens(1, 2);
	old_one_goes(1);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_DONE), 1);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
}

static void deploy(void)
{
	fresh = guessing(READY_LISTEN);
	be_done(cluster_settings_ref(fresh));
}

static void end(void)
{
	bench_do(&b, (struct event){.kind = EVENT_STOP, .at_once = true});
	for (uint32_t i = 0; i < cluster_slots(b.c); i++)
		while (bench_slot(&b, i).workers > 0)
			old_one_goes(i);
	bench_end(&b);
	if (fresh == NULL)
		return;
	ck_assert_uint_eq(fresh->refs, 1);
	cluster_settings_unref(fresh);
	fresh = NULL;
}

static void nothing_failed(void)
{
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 0);
	ck_assert_ptr_eq(cluster_settings(b.c), fresh);
}

TEST(the_second_one_ends_soon_after_and_all_go_back)
{
	const struct report *r;

	start_two();
	deploy();
	bench_pass(&b, 300 * MSEC);
	dies(1, 2);
	r = bench_last(&b, REPORT_ROLLOUT_FAILED);
	ck_assert_uint_eq(r->rollout, 1);
	ck_assert_uint_eq(r->slot, 1);
	ck_assert_int_eq(r->span, 300 * MSEC);
	ck_assert(r->back);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	/* one at a time, as ever: first the slot that is empty */
	ck_assert(bench_rollout(&b).going_back);
	ck_assert_ptr_eq(bench_rollout(&b).settings, b.s);
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 1);
	listens(1, 3);
	ck_assert_uint_eq(bench_slot(&b, 0).workers, 2);
	listens(0, 3);
	old_one_goes(0);
	ck_assert(bench_last(&b, REPORT_ROLLOUT_DONE)->back);
	ck_assert_uint_eq(cluster_generation(b.c), 3);
	ck_assert_ptr_eq(cluster_settings(b.c), b.s);
	ck_assert(cluster_is_settled(b.c));
	end();
}

TEST(the_same_settings_are_no_way_back)
{
	start_two();
	be_done(NULL);
	bench_forget(&b);
	dies(1, 2);
	ck_assert(!bench_last(&b, REPORT_ROLLOUT_FAILED)->back);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_STARTED), 0);
	ck_assert_uint_eq(cluster_generation(b.c), 2);
	/* it is tried again, as any that dies */
	listens(1, 2);
	ck_assert(cluster_is_settled(b.c));
	/* and that is told once */
	dies(0, 2);
	dies(1, 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	end();
}

TEST(each_is_watched_for_stable_after_and_no_longer)
{
	start_two();
	deploy();
	dies(0, 2); /* it has been ready for that long */
	nothing_failed();
	bench_pass(&b, MSEC);
	listens(0, 2);
	dies(0, 2); /* that was no worker of the rollout */
	nothing_failed();
	bench_pass(&b, SECOND);
	dies(1, 2);
	nothing_failed();
	end();
}

TEST(time_that_nclust_stood_still_is_not_watched)
{
	start_two();
	deploy();
	b.now += 60 * SECOND;
	bench_do(&b, (struct event){.kind = EVENT_LATE, .span = 60 * SECOND});
	bench_pass(&b, SECOND - 1);
	dies(1, 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	end();
}

TEST(who_says_that_it_is_ready_is_not_watched_either)
{
	start_two();
	fresh = guessing(READY_NOTIFY);
	roll(cluster_settings_ref(fresh));
	for (uint32_t i = 0; i < 2; i++) {
		bench_tell(&b, EVENT_READY, i, bench_of_generation(&b, i, 2));
		old_one_goes(i);
	}
	dies(1, 2);
	nothing_failed();
	end();
}

TEST(who_is_in_a_hurry_is_not_told_later)
{
	start_two();
	fresh = guessing(READY_LISTEN);
	bench_do(&b,
		(struct event){
			.kind = EVENT_ROLL,
			.slot = SLOT_ALL,
			.settings = cluster_settings_ref(fresh),
			.has_bake = true,
		});
	for (uint32_t i = 0; i < 2; i++) {
		listens(i, 2);
		old_one_goes(i);
	}
	dies(1, 2);
	nothing_failed();
	end();
}

TEST(one_that_ends_as_it_should_is_no_failure)
{
	start_two();
	fresh = guessing(READY_LISTEN);
	fresh->restart = RESTART_ON_FAILURE;
	be_done(cluster_settings_ref(fresh));
	bench_exit(&b, 1, SLOT_READY, ENDING_EXIT, 0);
	nothing_failed();
	end();
}

TEST_LOOP(what_is_asked_for_next_ends_the_watch, 0, 2)
{
	struct cluster_settings *newer = guessing(READY_LISTEN);

	start_two();
	deploy();
	if (_i == 0)
		roll(cluster_settings_ref(newer));
	else
		bench_do(&b,
			(struct event){
				.kind = EVENT_SETTINGS,
				.settings = cluster_settings_ref(newer),
			});
	dies(1, 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 0);
	ck_assert_ptr_eq(cluster_settings(b.c), _i == 0 ? fresh : newer);
	end();
	ck_assert_uint_eq(newer->refs, 1);
	cluster_settings_unref(newer);
}

TEST(a_scale_does_not_end_it_and_its_workers_are_not_watched)
{
	start_two();
	deploy();
	ck_assert_int_eq(cluster_reserve(b.c, 3), 0);
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 3});
	bench_pass(&b, MSEC);
	listens(2, 2);
	dies(2, 2);
	nothing_failed();
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 2});
	dies(1, 2);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 1);
	ck_assert(bench_rollout(&b).going_back);
	end();
}

TEST(a_stop_ends_all_with_nothing_failed)
{
	start_two();
	deploy();
	bench_do(&b, (struct event){.kind = EVENT_STOP});
	bench_exit(&b, 1, SLOT_STOPPING, ENDING_EXIT, 1);
	old_one_goes(0);
	ck_assert_uint_eq(bench_reports(&b, REPORT_ROLLOUT_FAILED), 0);
	ck_assert_uint_eq(bench_actions(&b, ACTION_ENDED), 1);
	bench_end(&b);
	cluster_settings_unref(fresh);
	fresh = NULL;
}

TEST(the_settings_of_before_are_known_no_longer_than_needed)
{
	start_two();
	deploy();
	ck_assert_uint_eq(b.s->refs, 2);
	bench_pass(&b, SECOND);
	bench_do(&b, (struct event){.kind = EVENT_TICK});
	ck_assert_uint_eq(b.s->refs, 1);
	end();
}

TEST(a_carried_one_that_has_lost_its_way_back_is_refused)
{
	struct generation *before;

	start_two();
	deploy();
	ck_assert_pstr_eq(image_finish(b.c), NULL);
	before = cluster_find_generation(b.c, 1);
	before->number = 2;
	before[1].number = 3;
	b.c->last_generation = 3;
	b.c->generation = 3;
	ck_assert_str_eq(image_finish(b.c),
		"the generation before the rollout is missing");
	before->number = 1;
	before[1].number = 2;
	b.c->generation = 2;
	end();
}
