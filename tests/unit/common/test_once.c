/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/common/once.h"

/* By number, which is for ever; a fact that is new is put at the end. */
static const enum once carried[] = {ONCE_OWN_FILTER, (enum once)1, ONCE_TRAP_REFUSED,
	ONCE_CHECK_DENIED, ONCE_BLIND, ONCE_RELAY_DOWN, (enum once)6, ONCE_NOTIFY_REFUSED,
	ONCE_CANNOT_BIND, ONCE_NOT_LISTENING, (enum once)10, ONCE_STUCK, ONCE_OVERLONG,
	ONCE_NODE_FULL, ONCE_COVERED, ONCE_SHARED, ONCE_NOT_REMADE, ONCE_HOOK_FAILED};

TEST(numbers_that_an_upgrade_carries_are_for_ever)
{
	ck_assert_uint_eq(ONCE_ANEW, 32);
	for (size_t i = 0; i < sizeof(carried) / sizeof(*carried); i++)
		ck_assert_uint_eq(carried[i], i);
}

/* Of both halves. */
static const enum once facts[] = {
	ONCE_OWN_FILTER, ONCE_ANEW - 1, ONCE_ANEW, ONCE_FACTS - 1, 2 * ONCE_ANEW - 1};

TEST(a_fact_is_said_once_and_again_when_it_comes_back)
{
	uint32_t said[2] = {0};

	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		ck_assert(!once_said(said, facts[i]));
		ck_assert(once_say(said, facts[i]));
		ck_assert(!once_say(said, facts[i]));
		ck_assert(once_said(said, facts[i]));
	}
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		ck_assert(once_forget(said, facts[i]));
		ck_assert(!once_forget(said, facts[i]));
		ck_assert(once_say(said, facts[i]));
		ck_assert(once_forget(said, facts[i]));
	}
	ck_assert_uint_eq(said[0] | said[1], 0);
}

TEST(what_comes_again_and_again_is_said_once_in_a_span)
{
	nsec_t at = 0;

	ck_assert(once_each(&at, 1 * SECOND, 10 * SECOND));
	ck_assert(!once_each(&at, 1 * SECOND, 10 * SECOND));
	ck_assert(!once_each(&at, 11 * SECOND - 1, 10 * SECOND));
	ck_assert(once_each(&at, 11 * SECOND, 10 * SECOND));
	ck_assert(!once_each(&at, 12 * SECOND, 10 * SECOND));
}
