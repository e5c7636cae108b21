/* SPDX-License-Identifier: MIT */
#include "core/quiet.h"

#include <check.h>
#include <stdlib.h>

#define TICK 4000U /* us: HZ=250 */

/* One that was asked 3 times and has answered 3 times; the last answer was 20 ms
 * ago, in the jiffy after that of the request. */
static struct quiet_facts answered(void)
{
	return (struct quiet_facts){
		.cookie = 7,
		.is_tcp = true,
		.is_open = true,
		.sent_ago = 20,
		.received_ago = 24,
		.ack_ago = 24,
		.min_rtt = 50,
		.rtt = 60,
		.segments_in = 3,
		.segments_out = 3,
		.acks_out = 1,
	};
}

/* All of it within one jiffy. */
static struct quiet_facts tied(void)
{
	struct quiet_facts f = answered();

	f.received_ago = f.ack_ago = f.sent_ago;
	return f;
}

static bool is_quiet(struct quiet_facts f)
{
	struct quiet_memory now;

	return quiet_connection(&f, NULL, 0, TICK, &now);
}

/* Quiet at the second look, when the first was 10 ms before? */
static bool is_quiet_then(struct quiet_facts first, struct quiet_facts second)
{
	struct quiet_memory before;
	struct quiet_memory now;

	(void)quiet_connection(&first, NULL, 0, TICK, &before);
	return quiet_connection(&second, &before, 10, TICK, &now);
}

START_TEST(an_answered_request_is_quiet)
{
	ck_assert(is_quiet(answered()));
}
END_TEST

START_TEST(a_request_that_came_last_is_busy)
{
	struct quiet_facts f = answered();

	f.received_ago = 16;
	ck_assert(!is_quiet(f));
}
END_TEST

START_TEST(what_is_not_read_or_not_sent_is_busy)
{
	struct quiet_facts f = answered();

	f.unread = 1;
	ck_assert(!is_quiet(f));
	f = answered();
	f.unsent = 1;
	ck_assert(!is_quiet(f));
	f.is_open = false;
	ck_assert(!is_quiet(f));
	f.unsent = 0;
	ck_assert(is_quiet(f));
}
END_TEST

START_TEST(one_that_has_just_come_is_about_to_ask)
{
	struct quiet_facts f = {.is_tcp = true,
		.is_open = true,
		.sent_ago = QUIET_GAP_MS - 1,
		.received_ago = QUIET_GAP_MS - 1,
		.ack_ago = QUIET_GAP_MS - 1};

	ck_assert(!is_quiet(f));
	f.segments_out = 1; /* the server has greeted it */
	ck_assert(!is_quiet(f));
	f.segments_out = 0;
	f.sent_ago = f.received_ago = f.ack_ago = QUIET_GAP_MS;
	ck_assert(is_quiet(f));
}
END_TEST

/* The times of what never was are those of the birth: within the jiffy of the
 * first request, or even before it. */
START_TEST(a_first_request_without_an_answer_is_busy)
{
	struct quiet_facts f = tied();

	f.segments_in = 1;
	f.segments_out = 0;
	f.unacked = 1;
	f.ack_ago = 0;
	ck_assert(!is_quiet(f));
	f.sent_ago = 0;
	ck_assert(!is_quiet(f));
}
END_TEST

START_TEST(a_tie_alone_is_busy)
{
	ck_assert(!is_quiet(tied()));
}
END_TEST

START_TEST(a_tie_with_an_unacknowledged_answer_is_quiet)
{
	struct quiet_facts f = tied();

	f.unacked = 1;
	ck_assert(is_quiet(f));
}
END_TEST

START_TEST(a_tie_with_a_later_ack_is_quiet)
{
	struct quiet_facts f = tied();

	f.ack_ago -= 4;
	ck_assert(is_quiet(f));
}
END_TEST

START_TEST(a_tie_over_a_long_way_is_quiet)
{
	struct quiet_facts f = tied();

	f.min_rtt = 2 * TICK;
	ck_assert(!is_quiet(f));
	f.min_rtt++;
	ck_assert(is_quiet(f));
	f.min_rtt = UINT32_MAX; /* not known */
	ck_assert(!is_quiet(f));
}
END_TEST

START_TEST(a_tie_that_has_not_moved_for_long_is_quiet)
{
	struct quiet_facts f = tied();

	f.acks_out = 5;
	f.sent_ago = f.received_ago = f.ack_ago = QUIET_STILL_MS - 1;
	ck_assert(!is_quiet(f));
	f.sent_ago = f.received_ago = f.ack_ago = QUIET_STILL_MS;
	ck_assert(is_quiet(f));
}
END_TEST

START_TEST(an_answer_between_two_looks_is_the_last_word)
{
	struct quiet_facts before = tied();

	before.segments_out--;
	ck_assert(is_quiet_then(before, tied()));
}
END_TEST

START_TEST(what_was_answered_stays_so_until_more_comes)
{
	struct quiet_facts f = tied();

	ck_assert(is_quiet_then(answered(), tied()));
	f.segments_in++;
	ck_assert(!is_quiet_then(answered(), f));
}
END_TEST

START_TEST(one_request_and_an_answer_since_a_quiet_look_are_quiet)
{
	struct quiet_facts f = tied();

	f.segments_in++;
	f.segments_out++;
	ck_assert(is_quiet_then(answered(), f));
	ck_assert(!is_quiet_then(tied(), f)); /* that was not a quiet one */
}
END_TEST

/* Two requests, and an answer in two segments: the balance is right, and the
 * second request waits. */
START_TEST(a_balance_of_segments_proves_nothing)
{
	struct quiet_facts f = tied();

	f.segments_in += 2;
	f.segments_out += 2;
	ck_assert(!is_quiet_then(answered(), f));
	f.segments_out += 2;
	ck_assert(!is_quiet_then(answered(), f));
}
END_TEST

/* Each request is acknowledged within 40 ms: where nothing but answers has left
 * since before it came, an answer did it. */
START_TEST(a_request_acknowledged_by_an_answer_is_answered)
{
	struct quiet_facts before = tied();
	struct quiet_facts f = tied();
	const uint32_t late = (QUIET_ACK + QUIET_ACK_TICKS * TICK) / 1000;

	before.acks_out = f.acks_out = 5;
	before.segments_in--;
	before.segments_out--;
	f.sent_ago = f.received_ago = f.ack_ago = late;
	ck_assert(is_quiet_then(before, f));
	/* before the delayed ACK is due */
	f.sent_ago = f.received_ago = f.ack_ago = late - 1;
	ck_assert(!is_quiet_then(before, f));
	/* it has left */
	f.sent_ago = f.received_ago = f.ack_ago = late;
	f.acks_out++;
	ck_assert(!is_quiet_then(before, f));
	/* it may be later over such a way */
	f.acks_out--;
	f.rtt = QUIET_ACK;
	ck_assert(!is_quiet_then(before, f));
	/* nobody looked before the request came */
	f.rtt = 50;
	ck_assert(!is_quiet_then(f, f));
}
END_TEST

/* The first segment that came has an acknowledgement of its own. */
START_TEST(who_never_acknowledged_without_an_answer_has_answered)
{
	struct quiet_facts f = tied();

	f.sent_ago = f.received_ago = f.ack_ago =
		(QUIET_ACK + QUIET_ACK_TICKS * TICK) / 1000;
	ck_assert(is_quiet(f));
	f.acks_out = 2;
	ck_assert(!is_quiet(f));
	f.acks_out = 1;
	f.segments_in = f.segments_out = 1;
	ck_assert(!is_quiet(f)); /* that was it, and no answer since */
	f.acks_out = 0;
	ck_assert(is_quiet(f));
	f.sent_ago = --f.received_ago;
	ck_assert(!is_quiet(f));
}
END_TEST

START_TEST(what_is_not_read_is_not_remembered_as_answered)
{
	struct quiet_facts before = tied();

	before.unacked = 1;
	before.unread = 10;
	ck_assert(!is_quiet_then(before, tied()));
}
END_TEST

START_TEST(a_late_answer_may_go_on)
{
	struct quiet_facts f = answered();

	f.received_ago = 500;
	ck_assert(!is_quiet(f));
	f.sent_ago = QUIET_GAP_MS;
	ck_assert(is_quiet(f));
	f.sent_ago = 20;
	f.received_ago = 20 + QUIET_PROMPT_MS;
	ck_assert(is_quiet(f));
}
END_TEST

/* Sent something unasked at each look: then its pauses are longer. */
START_TEST(a_stream_may_pause)
{
	struct quiet_facts f = answered();
	struct quiet_memory before;
	struct quiet_memory now;

	(void)quiet_connection(&f, NULL, 0, TICK, &before);
	for (int look = 0; look < 3; look++) {
		f.segments_out++;
		f.sent_ago = 10;
		f.received_ago = 500;
		ck_assert(!quiet_connection(&f, &before, 50, TICK, &now));
		before = now;
	}
	f.sent_ago = QUIET_STREAM_MS - 1;
	f.received_ago = 2000;
	ck_assert(!quiet_connection(&f, &before, 50, TICK, &now));
	f.sent_ago = QUIET_STREAM_MS;
	ck_assert(quiet_connection(&f, &before, 50, TICK, &now));
	/* asked again, and answered at once: it is one like others */
	f.segments_in++;
	f.segments_out++;
	f.received_ago = QUIET_GAP_MS + 4;
	f.sent_ago = QUIET_GAP_MS;
	ck_assert(quiet_connection(&f, &before, 50, TICK, &now));
}
END_TEST

START_TEST(other_sockets_are_quiet_when_they_have_been_for_a_while)
{
	struct quiet_facts f = {.cookie = 9};
	struct quiet_memory first;
	struct quiet_memory second;
	struct quiet_memory third;

	ck_assert(!quiet_connection(&f, NULL, 0, TICK, &first));
	ck_assert(
		!quiet_connection(&f, &first, QUIET_GAP_MS - 1, TICK, &second));
	ck_assert(quiet_connection(&f, &second, 1, TICK, &third));
	ck_assert_uint_eq(quiet_idle_ms(&f, &third), QUIET_GAP_MS);
	f.unread = 1;
	ck_assert(!quiet_connection(&f, &third, 1, TICK, &first));
	f.unread = 0;
	ck_assert(!quiet_connection(&f, &first, 1, TICK, &second));
}
END_TEST

START_TEST(a_connection_idles_since_its_last_byte)
{
	struct quiet_facts f = answered();
	struct quiet_memory now;

	(void)quiet_connection(&f, NULL, 0, TICK, &now);
	ck_assert_uint_eq(quiet_idle_ms(&f, &now), 20);
	f.received_ago = 5;
	ck_assert_uint_eq(quiet_idle_ms(&f, &now), 5);
}
END_TEST

START_TEST(memory_is_found_by_cookie_in_any_order)
{
	const struct quiet_memory list[] = {
		{.cookie = 4}, {.cookie = 5}, {.cookie = 6}};
	size_t cursor = 0;

	ck_assert_ptr_eq(quiet_find(list, 3, &cursor, 4), &list[0]);
	ck_assert_uint_eq(cursor, 1);
	ck_assert_ptr_eq(quiet_find(list, 3, &cursor, 6), &list[2]);
	ck_assert_uint_eq(cursor, 0);
	ck_assert_ptr_eq(quiet_find(list, 3, &cursor, 5), &list[1]);
	ck_assert_ptr_eq(quiet_find(list, 3, &cursor, 4), &list[0]);
	ck_assert_ptr_null(quiet_find(list, 3, &cursor, 9));
	ck_assert_ptr_null(quiet_find(NULL, 0, &cursor, 4));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quiet");
	TCase *tc = tcase_create("quiet");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, an_answered_request_is_quiet);
	tcase_add_test(tc, a_request_that_came_last_is_busy);
	tcase_add_test(tc, what_is_not_read_or_not_sent_is_busy);
	tcase_add_test(tc, one_that_has_just_come_is_about_to_ask);
	tcase_add_test(tc, a_first_request_without_an_answer_is_busy);
	tcase_add_test(tc, a_tie_alone_is_busy);
	tcase_add_test(tc, a_tie_with_an_unacknowledged_answer_is_quiet);
	tcase_add_test(tc, a_tie_with_a_later_ack_is_quiet);
	tcase_add_test(tc, a_tie_over_a_long_way_is_quiet);
	tcase_add_test(tc, a_tie_that_has_not_moved_for_long_is_quiet);
	tcase_add_test(tc, an_answer_between_two_looks_is_the_last_word);
	tcase_add_test(tc, what_was_answered_stays_so_until_more_comes);
	tcase_add_test(
		tc, one_request_and_an_answer_since_a_quiet_look_are_quiet);
	tcase_add_test(tc, a_balance_of_segments_proves_nothing);
	tcase_add_test(tc, a_request_acknowledged_by_an_answer_is_answered);
	tcase_add_test(
		tc, who_never_acknowledged_without_an_answer_has_answered);
	tcase_add_test(tc, what_is_not_read_is_not_remembered_as_answered);
	tcase_add_test(tc, a_late_answer_may_go_on);
	tcase_add_test(tc, a_stream_may_pause);
	tcase_add_test(
		tc, other_sockets_are_quiet_when_they_have_been_for_a_while);
	tcase_add_test(tc, a_connection_idles_since_its_last_byte);
	tcase_add_test(tc, memory_is_found_by_cookie_in_any_order);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
