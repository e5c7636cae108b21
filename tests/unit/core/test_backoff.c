/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "core/slot.h"

#include <stdlib.h>

static struct cluster_settings settings;
static uint64_t seed;

static void set_up(void)
{
	settings = (struct cluster_settings){
		.backoff_min = 100 * MSEC,
		.backoff_max = 30 * SECOND,
		.stable_after = SECOND,
	};
	seed = 1;
}

static nsec_t never_ready(struct backoff *b)
{
	return backoff_next(b, &settings, false, 0, &seed);
}

static nsec_t ready_for(struct backoff *b, nsec_t age)
{
	return backoff_next(b, &settings, true, age, &seed);
}

FIXTURE(set_up, NULL)

TEST(deaths_before_ready_wait_longer_each_time)
{
	struct backoff b = {0};

	ck_assert_int_eq(never_ready(&b), 100 * MSEC);
	ck_assert_int_eq(never_ready(&b), 200 * MSEC);
	ck_assert_int_eq(never_ready(&b), 400 * MSEC);
	for (int i = 0; i < 100; i++)
		(void)never_ready(&b);
	ck_assert_int_eq(never_ready(&b), 30 * SECOND);
}

TEST(the_first_death_of_a_ready_worker_is_forgiven)
{
	struct backoff b = {0};

	ck_assert_int_eq(ready_for(&b, MSEC), 0);
	ck_assert_int_eq(ready_for(&b, MSEC), 100 * MSEC);
	ck_assert_int_eq(ready_for(&b, MSEC), 200 * MSEC);
}

TEST(forgiving_forgets_the_waits_of_failed_starts)
{
	struct backoff b = {0};

	(void)never_ready(&b);
	(void)never_ready(&b);
	ck_assert_int_eq(ready_for(&b, MSEC), 0);
	ck_assert_int_eq(never_ready(&b), 100 * MSEC);
}

TEST(a_loop_slower_than_stable_after_waits_longer_each_time)
{
	struct backoff b = {0};

	ck_assert_int_eq(ready_for(&b, 2300 * MSEC), 0);
	ck_assert_int_eq(ready_for(&b, 2300 * MSEC), 100 * MSEC);
	ck_assert_int_eq(ready_for(&b, 50 * SECOND), 200 * MSEC);
	ck_assert_int_eq(never_ready(&b), 400 * MSEC);
	ck_assert_int_eq(ready_for(&b, MINUTE - 1), 800 * MSEC);
	for (int i = 0; i < 100; i++)
		(void)ready_for(&b, 2300 * MSEC);
	ck_assert_int_eq(ready_for(&b, 2300 * MSEC), 30 * SECOND);
}

TEST(a_minute_of_life_forgets_everything)
{
	struct backoff b = {0};

	(void)ready_for(&b, MSEC);
	(void)ready_for(&b, MSEC);
	(void)ready_for(&b, MSEC);
	ck_assert_int_eq(ready_for(&b, MINUTE), 0);
	ck_assert_int_eq(ready_for(&b, MINUTE), 0);
	ck_assert_int_eq(ready_for(&b, SECOND), 100 * MSEC);
}

TEST(a_stable_after_of_more_than_a_minute_counts)
{
	struct backoff b = {0};

	settings.stable_after = 10 * MINUTE;
	(void)ready_for(&b, MSEC);
	ck_assert_int_eq(ready_for(&b, 9 * MINUTE), 100 * MSEC);
	ck_assert_int_eq(ready_for(&b, 10 * MINUTE), 0);
}

TEST(jitter_stays_within_its_per_cent_and_spreads)
{
	nsec_t least = NSEC_NEVER;
	nsec_t most = 0;

	settings.backoff_jitter = 20;
	for (int i = 0; i < 2000; i++) {
		struct backoff b = {0};
		nsec_t wait = never_ready(&b);

		least = wait < least ? wait : least;
		most = wait > most ? wait : most;
	}
	ck_assert_int_ge(least, 80 * MSEC);
	ck_assert_int_lt(least, 82 * MSEC);
	ck_assert_int_le(most, 120 * MSEC);
	ck_assert_int_gt(most, 118 * MSEC);
}

TEST(a_backoff_min_of_zero_is_no_busy_loop)
{
	struct backoff b = {0};

	settings.backoff_min = 0;
	ck_assert_int_eq(never_ready(&b), MSEC);
	ck_assert_int_eq(never_ready(&b), 2 * MSEC);
}

TEST(no_wait_is_longer_than_the_max_with_its_jitter)
{
	struct backoff b = {.delay = HOUR};
	nsec_t most = 0;

	settings.backoff_jitter = 20;
	for (int i = 0; i < 2000; i++) {
		nsec_t wait = never_ready(&b);

		most = wait > most ? wait : most;
	}
	ck_assert_int_le(most, 30 * SECOND);
	ck_assert_int_gt(most, 29 * SECOND);
}

TEST(a_raised_min_counts_at_once)
{
	struct backoff b = {0};

	(void)never_ready(&b);
	settings.backoff_min = 5 * SECOND;
	ck_assert_int_eq(never_ready(&b), 5 * SECOND);
}
