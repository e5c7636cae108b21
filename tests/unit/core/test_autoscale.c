/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "core/autoscale.h"

#include <stdlib.h>

static struct autoscale scale;
static struct load load;
static struct scale_step step;

static void set_up(void)
{
	scale = (struct autoscale){0};
	autoscale_limits(&scale, 2, 16, 600 * SECOND);
	load = (struct load){
		.now = 100 * SECOND, .wanted = 4, .ready = 4, .cpus = 8, .measured = true};
}

/* Look so often, a second apart; how often was there a step? */
static unsigned look(unsigned seconds)
{
	unsigned steps = 0;

	while (seconds-- > 0 && steps == 0) {
		load.now += SECOND;
		steps += autoscale_look(&scale, &load, &step);
	}
	return steps;
}

FIXTURE(set_up, NULL)

TEST(workers_that_use_their_cpus_get_more)
{
	load.busy = 900;
	ck_assert_uint_eq(look(2), 0);
	ck_assert_uint_eq(look(1), 1);
	ck_assert_uint_eq(step.wanted, 6); /* 4 * 900 / 600 */
	ck_assert_int_eq(step.why, SCALE_CPU);
	ck_assert_uint_eq(step.measure, 90);
}

TEST(what_others_take_of_the_cpus_counts_as_used)
{
	load.busy = 450;
	ck_assert_uint_eq(look(30), 0);
	load.pressure = 500;
	ck_assert_uint_eq(look(3), 1);
	ck_assert_int_eq(step.why, SCALE_CPU);
}

TEST(more_workers_than_cpus_wait_for_each_other_alone)
{
	load.busy = 450;
	load.pressure = 900;
	load.cpus = 4;
	ck_assert_uint_eq(look(30), 0);
}

TEST(a_queue_that_no_cpu_is_left_for_adds_nobody)
{
	load.cpus = 2;
	load.waiting = 50;
	load.pressure = 900;
	ck_assert_uint_eq(look(30), 0);
	load.pressure = 100;
	ck_assert_uint_eq(look(1), 1);
	ck_assert_uint_eq(step.wanted, 8);
	ck_assert_int_eq(step.why, SCALE_QUEUE);
}

TEST(a_client_that_is_about_to_be_accepted_is_no_queue)
{
	load.busy = 600;
	for (unsigned i = 0; i < 100; i++) {
		load.waiting = i % 2 * 3;
		ck_assert_uint_eq(look(1), 0);
	}
}

TEST(few_clients_wait_longer_than_many)
{
	load.waiting = 1;
	ck_assert(!autoscale_look(&scale, &load, &step));
	ck_assert_int_eq(autoscale_wait(&scale, 4), SCALE_LOOK_NEAR);
	load.now += 500 * MSEC;
	ck_assert(!autoscale_look(&scale, &load, &step));
	load.waiting = 4;
	ck_assert(autoscale_look(&scale, &load, &step));
}

TEST(many_clients_are_a_queue_at_once_if_no_fewer_wait_after_it)
{
	load.waiting = 100;
	load.came_at = load.now - SCALE_LOOK_FIRST;
	ck_assert(!autoscale_look(&scale, &load, &step));
	load.came_at = 0;
	ck_assert_int_eq(autoscale_wait(&scale, 4) / MSEC, 8); /* 250 ms * 4 / 100 - 2 */
	load.now += autoscale_wait(&scale, 4);
	load.waiting = 74;
	ck_assert(!autoscale_look(&scale, &load, &step));
	load.now += autoscale_wait(&scale, 4);
	ck_assert(autoscale_look(&scale, &load, &step));
	ck_assert_int_eq(step.why, SCALE_QUEUE);
	ck_assert_uint_eq(step.wanted, 8);
}

TEST(a_spare_serves_sooner)
{
	load.waiting = 100;
	load.came_at = load.now - 3 * MSEC;
	ck_assert(!autoscale_look(&scale, &load, &step));
	scale = (struct autoscale){.least = 2, .most = 16};
	load.spare = true;
	ck_assert(autoscale_look(&scale, &load, &step));
}

TEST(those_for_whom_nothing_can_be_done_are_looked_at_seldom)
{
	load.waiting = 100;
	load.held = true;
	ck_assert(!autoscale_look(&scale, &load, &step));
	ck_assert_int_lt(autoscale_wait(&scale, 4), SCALE_LOOK_NEAR);
	load.now += autoscale_wait(&scale, 4);
	ck_assert(!autoscale_look(&scale, &load, &step));
	ck_assert_int_eq(autoscale_wait(&scale, 4), SCALE_LOOK_NEAR);
	load.held = false;
	ck_assert(autoscale_look(&scale, &load, &step));
	/* nor those who wait for a worker that was added */
	load.wanted = step.wanted;
	load.waiting = 60;
	load.now += MSEC;
	ck_assert(!autoscale_look(&scale, &load, &step));
	ck_assert_int_eq(autoscale_wait(&scale, 8), SCALE_LOOK_NEAR);
}

TEST(a_client_that_nobody_accepts_gets_no_more_than_one_worker)
{
	load.waiting = 1;
	ck_assert_uint_eq(look(5), 1);
	ck_assert_uint_eq(load.wanted = load.ready = step.wanted, 5);
	ck_assert_uint_eq(look(29), 0);
	ck_assert_int_eq(autoscale_wait(&scale, 5), SCALE_LOOK);
	ck_assert_uint_eq(look(5), 1);
	ck_assert_uint_eq(load.wanted = load.ready = step.wanted, 4);
	ck_assert_int_eq(step.why, SCALE_CALM);
	/* those that come beside it get some */
	load.waiting = 4;
	ck_assert_uint_eq(look(5), 1);
	ck_assert_int_eq(step.why, SCALE_QUEUE);
	ck_assert_uint_eq(step.measure, 3);
}

TEST(a_queue_at_the_most_workers_is_not_looked_at_more_often)
{
	load.wanted = load.ready = 16;
	load.waiting = 100;
	ck_assert_uint_eq(look(60), 0);
	ck_assert_int_eq(autoscale_wait(&scale, 16), SCALE_LOOK);
	/* nor does one that never moves hold them for ever, unless it is full */
	load.full = true;
	ck_assert_uint_eq(look(600), 0);
	load.full = false;
	ck_assert_uint_eq(look(400), 1);
	ck_assert_int_eq(step.why, SCALE_CALM);
}

TEST(workers_that_never_become_ready_are_not_multiplied)
{
	load.waiting = 5;
	load.ready = 0;
	ck_assert_uint_eq(look(300), 0);
	load.ready = 1;
	ck_assert_uint_eq(look(5), 1);
}

TEST(busy_workers_are_not_too_many)
{
	load.busy = 600; /* 800 for each of 3 */
	ck_assert_uint_eq(look(600), 0);
	load.busy = 300;
	ck_assert_uint_eq(look(600), 1);
	ck_assert_uint_eq(step.wanted, 3);
	ck_assert_int_eq(step.why, SCALE_CALM);
}

TEST(a_number_that_was_too_small_is_not_tried_again_soon)
{
	ck_assert_uint_eq(look(60), 1);
	ck_assert_uint_eq(load.wanted = load.ready = step.wanted, 3);
	load.waiting = 50;
	ck_assert_uint_eq(look(5), 1);
	ck_assert_uint_eq(load.wanted = load.ready = step.wanted, 4);
	load.waiting = 0;
	ck_assert_uint_eq(look(115), 0);
	ck_assert_uint_eq(look(30), 1);
}

TEST(nothing_to_do_for_long_is_no_worker_until_a_client_comes)
{
	autoscale_limits(&scale, 0, 4, 20 * SECOND);
	load.wanted = load.ready = 1;
	load.in_use = true;
	ck_assert_uint_eq(look(100), 0);
	load.in_use = false;
	ck_assert_uint_eq(look(15), 0);
	ck_assert_uint_eq(look(10), 1);
	ck_assert_uint_eq(step.wanted, 0);
	ck_assert_int_eq(step.why, SCALE_IDLE);
	load.wanted = load.ready = 0;
	ck_assert_int_eq(autoscale_wait(&scale, 0), NSEC_NEVER);
	ck_assert_uint_eq(look(100), 0);
	load.waiting = 7;
	load.held = true;
	ck_assert_uint_eq(look(1), 1);
	ck_assert_uint_eq(step.wanted, 1);
	ck_assert_int_eq(step.why, SCALE_CLIENT);
}

TEST(other_limits_are_kept_at_once)
{
	autoscale_limits(&scale, 6, 8, 0);
	ck_assert_uint_eq(look(1), 1);
	ck_assert_uint_eq(step.wanted, 6);
	load.wanted = load.ready = 12;
	ck_assert_uint_eq(look(1), 1);
	ck_assert_uint_eq(step.wanted, 8);
	ck_assert_int_eq(step.why, SCALE_LIMITS);
}
