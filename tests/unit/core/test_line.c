/* SPDX-License-Identifier: MIT */
#include "core_lib.h"
#include "core/internal.h"

/* start-at-once: no more than so many workers start at a time. */

static void start_by_two(unsigned slots)
{
	b.s->start_at_once = 2;
	start(slots);
}

static unsigned starting(void)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < cluster_slots(b.c); i++) {
		struct slot_view view = slot_at(i);

		for (unsigned k = 0; k < view.workers; k++)
			count += view.worker[k].state == SLOT_STARTING;
	}
	return count;
}

/* The first slot whose worker starts. */
static uint32_t first_starting(void)
{
	uint32_t i = 0;

	while (slot_at(i).workers == 0 || slot_at(i).worker[0].state != SLOT_STARTING)
		i++;
	return i;
}

TEST(the_next_one_starts_when_one_is_ready)
{
	start_by_two(1000);
	ck_assert_uint_eq(starting(), 2);
	ck_assert_int_eq(slot_at(999).state, SLOT_STARTING);
	ck_assert_int_eq(cluster_next_deadline(b.c), b.now + LINE_PATIENCE);
	for (unsigned i = 0; i < 998; i++) {
		gets_ready(i);
		ck_assert_uint_eq(starting(), 2);
		forget();
	}
	gets_ready(999);
	gets_ready(998);
	ck_assert_int_eq(cluster_state(b.c), CLUSTER_RUNNING);
}

TEST(nobody_waits_for_those_that_hang)
{
	start_by_two(6);
	pass(LINE_PATIENCE - 1);
	ck_assert_uint_eq(starting(), 2);
	pass(1);
	ck_assert_uint_eq(starting(), 4);
	gets_ready(2);
	ck_assert_uint_eq(starting(), 4);
	gets_ready(0);
	ck_assert_uint_eq(starting(), 3);
	ck_assert_uint_eq(slot_at(5).workers, 0);
	gets_ready(3);
	ck_assert_uint_eq(slot_at(5).workers, 1);
}

TEST(deaths_are_replaced_in_their_order)
{
	start_by_two(5);
	for (int i = 0; i < 5; i++)
		gets_ready(first_starting());
	for (uint32_t i = 5; i-- > 0;) {
		b.now += MSEC;
		crashes(i, SLOT_READY);
	}
	ck_assert_uint_eq(slot_at(4).workers, 1);
	ck_assert_uint_eq(slot_at(3).workers, 1);
	for (uint32_t i = 4; i >= 2; i--) {
		ck_assert_uint_eq(slot_at(i - 2).workers, 0);
		gets_ready(i);
		ck_assert_uint_eq(slot_at(i - 2).workers, 1);
	}
}

TEST(a_command_without_any_sign_is_not_waited_for_again)
{
	b.s->ready = READY_AUTO;
	start_by_two(9);
	ck_assert_uint_eq(starting(), 2);
	pass(SECOND);
	ck_assert_uint_eq(starting(), 7);
	pass(SECOND);
	ck_assert_uint_eq(cluster_ready(b.c), 9);
	crashes(3, SLOT_READY);
	/* until one shows that it does */
	gets_ready(3);
	for (uint32_t i = 4; i < 8; i++)
		crashes(i, SLOT_READY);
	ck_assert_uint_eq(starting(), 2);
}
