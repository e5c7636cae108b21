/* SPDX-License-Identifier: MIT */
#include "core_lib.h"
#include "core/line.h"

/* start-at-once: no more than so many workers start at a time. */

static struct bench b;

static struct cluster_settings *two_at_once(void)
{
	struct cluster_settings *s = bench_settings();

	s->start_at_once = 2;
	return s;
}

static unsigned starting(void)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < cluster_slots(b.c); i++) {
		struct slot_view view = bench_slot(&b, i);

		for (unsigned k = 0; k < view.workers; k++)
			count += view.worker[k].state == SLOT_STARTING;
	}
	return count;
}

/* The first slot whose worker starts. */
static uint32_t first_starting(void)
{
	uint32_t i = 0;

	while (bench_slot(&b, i).workers == 0 ||
		bench_slot(&b, i).worker[0].state != SLOT_STARTING)
		i++;
	return i;
}

TEST(the_next_one_starts_when_one_is_ready)
{
	bench_start(&b, two_at_once(), 1000);
	ck_assert_uint_eq(starting(), 2);
	ck_assert_int_eq(bench_slot(&b, 999).state, SLOT_STARTING);
	ck_assert_int_eq(cluster_next_deadline(b.c), b.now + LINE_PATIENCE);
	for (unsigned i = 0; i < 998; i++) {
		bench_ready(&b, i);
		ck_assert_uint_eq(starting(), 2);
		bench_forget(&b);
	}
	bench_ready(&b, 999);
	bench_ready(&b, 998);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
	bench_forget(&b);
	bench_end(&b);
}

TEST(the_next_one_starts_when_one_has_failed)
{
	bench_start(&b, two_at_once(), 4);
	bench_exit(&b, 0, SLOT_STARTING, ENDING_EXIT, 1);
	ck_assert_uint_eq(starting(), 2);
	ck_assert_int_eq(bench_slot(&b, 0).state, SLOT_BACKOFF);
	ck_assert_uint_eq(bench_slot(&b, 2).workers, 1);
	bench_exit(&b, 1, SLOT_STARTING, ENDING_EXIT, 1);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 1);
	bench_end(&b);
}

TEST(nobody_waits_for_those_that_hang)
{
	bench_start(&b, two_at_once(), 6);
	bench_pass(&b, LINE_PATIENCE - 1);
	ck_assert_uint_eq(starting(), 2);
	bench_pass(&b, 1);
	ck_assert_uint_eq(starting(), 4);
	bench_ready(&b, 2);
	ck_assert_uint_eq(starting(), 4);
	bench_ready(&b, 0);
	ck_assert_uint_eq(starting(), 3);
	ck_assert_uint_eq(bench_slot(&b, 5).workers, 0);
	bench_ready(&b, 3);
	ck_assert_uint_eq(bench_slot(&b, 5).workers, 1);
	bench_end(&b);
}

TEST(a_new_release_does_not_wait_for_the_old_one_to_start)
{
	struct cluster_settings *s = two_at_once();

	s->surge = 2;
	bench_start(&b, s, 2);
	ck_assert_uint_eq(starting(), 2);
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
	ck_assert_uint_eq(starting(), 4);
	bench_end(&b);
}

TEST(an_old_one_does_not_go_before_its_successor_may_start)
{
	struct cluster_settings *s = two_at_once();

	s->surge = 0;
	s->max_unavailable = 5;
	s->bake = 0;
	bench_start(&b, s, 6);
	for (int i = 0; i < 6; i++)
		bench_ready(&b, first_starting());
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
	for (uint32_t i = 0; i < 6; i++)
		if (bench_slot(&b, i).worker[0].state == SLOT_STOPPING)
			bench_exit(&b, i, SLOT_STOPPING, ENDING_EXIT, 0);
	ck_assert_uint_eq(starting(), 2);
	for (int i = 0; i < 6; i++) {
		bench_ready(&b, first_starting());
		for (uint32_t k = 0; k < 6; k++)
			if (bench_slot(&b, k).workers > 0 &&
				bench_slot(&b, k).worker[0].state ==
					SLOT_STOPPING)
				bench_exit(
					&b, k, SLOT_STOPPING, ENDING_EXIT, 0);
		if (cluster_ready(b.c) == 6)
			break;
	}
	ck_assert_uint_eq(cluster_ready(b.c), 6);
	bench_end(&b);
}

TEST(time_alive_is_not_waited_for)
{
	struct cluster_settings *s = two_at_once();

	s->ready = READY_ALIVE;
	s->ready_alive = 5 * SECOND;
	bench_start(&b, s, 9);
	ck_assert_uint_eq(starting(), 9);
	bench_end(&b);
}

TEST(deaths_are_replaced_in_their_order)
{
	bench_start(&b, two_at_once(), 5);
	for (int i = 0; i < 5; i++)
		bench_ready(&b, first_starting());
	for (uint32_t i = 5; i-- > 0;) {
		b.now += MSEC;
		bench_exit(&b, i, SLOT_READY, ENDING_SIGNAL, SIGKILL);
	}
	ck_assert_uint_eq(bench_slot(&b, 4).workers, 1);
	ck_assert_uint_eq(bench_slot(&b, 3).workers, 1);
	for (uint32_t i = 4; i >= 2; i--) {
		ck_assert_uint_eq(bench_slot(&b, i - 2).workers, 0);
		bench_ready(&b, i);
		ck_assert_uint_eq(bench_slot(&b, i - 2).workers, 1);
	}
	bench_end(&b);
}

TEST(a_scale_up_starts_so_many_at_once)
{
	bench_start(&b, two_at_once(), 1);
	bench_ready(&b, 0);
	ck_assert_int_eq(cluster_reserve(b.c, 9), 0);
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 9});
	ck_assert_uint_eq(starting(), 2);
	/* and one down again, who waits is forgotten */
	bench_do(&b, (struct event){.kind = EVENT_SCALE, .scale.wanted = 2});
	ck_assert_uint_eq(cluster_slots(b.c), 3); /* 2 is stopping */
	bench_end(&b);
}

TEST(a_rollout_of_all_starts_so_many_at_once)
{
	struct cluster_settings *s = two_at_once();

	s->surge = WORKERS_MAX;
	s->bake = 0;
	bench_start(&b, s, 5);
	for (int i = 0; i < 5; i++)
		bench_ready(&b, first_starting());
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_le(starting(), 2);
		for (uint32_t k = 0; k < 5; k++) {
			struct slot_view view = bench_slot(&b, k);

			if (view.workers == 2 &&
				view.worker[1].state == SLOT_STARTING) {
				bench_ready(&b, k);
				break;
			}
		}
	}
	ck_assert_uint_eq(starting(), 0);
	ck_assert_uint_eq(cluster_ready(b.c), 5);
	bench_end(&b);
}

TEST(other_settings_let_more_start)
{
	struct cluster_settings *more = bench_settings();

	bench_start(&b, two_at_once(), 9);
	more->start_at_once = 5;
	bench_do(&b, (struct event){.kind = EVENT_SETTINGS, .settings = more});
	ck_assert_uint_eq(starting(), 5);
	bench_end(&b);
}

TEST(a_command_without_any_sign_is_not_waited_for_again)
{
	struct cluster_settings *s = two_at_once();

	s->ready = READY_AUTO;
	bench_start(&b, s, 9);
	ck_assert_uint_eq(starting(), 2);
	bench_pass(&b, SECOND);
	ck_assert_uint_eq(starting(), 7);
	bench_pass(&b, SECOND);
	ck_assert_uint_eq(cluster_ready(b.c), 9);
	bench_exit(&b, 3, SLOT_READY, ENDING_SIGNAL, SIGKILL);
	/* until one shows that it does */
	bench_ready(&b, 3);
	for (uint32_t i = 4; i < 8; i++)
		bench_exit(&b, i, SLOT_READY, ENDING_SIGNAL, SIGKILL);
	ck_assert_uint_eq(starting(), 2);
	bench_end(&b);
}
