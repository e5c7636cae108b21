/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/common/once.h"

/* Each fact is one of the carried half, or of the other one. */
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
