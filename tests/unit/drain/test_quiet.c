/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/drain/quiet.h"

#include <netinet/tcp.h>

#include <stdlib.h>

#define TICK 4000U /* us: HZ=250 */

#define RTT_MS 40U

/* One that was asked 3 times and has answered 3 times; the last answer was 100 ms
 * ago, in the jiffy after that of the request. */
static struct connection answered(void)
{
	return (struct connection){
		.cookie = 7,
		.kind = CONNECTION_TCP,
		.state = TCP_ESTABLISHED,
		.sent_ago = QUIET_GAP_MS,
		.received_ago = QUIET_GAP_MS + 4,
		.ack_ago = QUIET_GAP_MS + 4,
		.rtt = 60,
		.segments_in = 3,
		.segments_out = 3,
		.acks_out = 5,
	};
}

/* Both within one jiffy, and nothing says which was the last. */
static struct connection tied(void)
{
	struct connection f = answered();

	f.received_ago = f.ack_ago = f.sent_ago;
	return f;
}

static struct connection moved(struct connection f, uint32_t ago)
{
	f.sent_ago = f.received_ago = f.ack_ago = ago;
	return f;
}

static bool judged(struct connection f, bool late)
{
	struct quiet_memory now;

	return quiet_connection(&f, NULL, 0, TICK, late, false, &now);
}

static bool is_quiet(struct connection f)
{
	return judged(f, false);
}

static bool is_quiet_late(struct connection f)
{
	return judged(f, true);
}

/* At no time. */
static void check_busy(struct connection f)
{
	ck_assert(!is_quiet(f));
	ck_assert(!is_quiet_late(f));
}

/* Quiet at the second look, when the first was 10 ms before? */
static bool is_quiet_then(struct connection first, struct connection second)
{
	struct quiet_memory before;
	struct quiet_memory now;

	(void)quiet_connection(&first, NULL, 0, TICK, false, false, &before);
	return quiet_connection(&second, &before, 10, TICK, false, false, &now);
}

/* ---- the last word was the worker's … ---- */

TEST(the_last_word_is_the_workers)
{
	struct connection f = answered();

	ck_assert(is_quiet(f));
	f.received_ago = f.sent_ago;
	f.sent_ago += 4;
	check_busy(f);
}

TEST(what_is_not_read_or_not_sent_is_busy)
{
	struct connection f = answered();

	f.queue = 1;
	check_busy(f);
	f = answered();
	f.unsent = 1;
	check_busy(f);
	f.state = TCP_FIN_WAIT2;
	ck_assert(!is_quiet(f));
	f.unsent = 0;
	ck_assert(is_quiet(f));
}

/* The times of what never was are those of the birth: within the jiffy of the
 * first request, or even before it. */
TEST(a_first_request_without_an_answer_is_busy)
{
	struct connection f = tied();

	f.segments_in = 1;
	f.segments_out = 0;
	f.unacked = 1;
	f.ack_ago = 0;
	ck_assert(!is_quiet(f));
	f.sent_ago = 0;
	check_busy(f);
}

TEST(what_was_answered_stays_so_until_more_comes)
{
	struct connection f = tied();

	ck_assert(is_quiet_then(answered(), tied()));
	f.segments_in++;
	f.acks_out++;
	ck_assert(!is_quiet_then(answered(), f));
}

/* ---- … and 100 ms have passed in which nothing came or went … ---- */

/* As between ServerHello and Finished, or a header and its body. */
TEST(nothing_came_or_went_for_100_ms)
{
	struct connection f = answered();

	f.sent_ago = QUIET_GAP_MS - 1;
	ck_assert(!is_quiet(f));
	f.received_ago = 2 * QUIET_GAP_MS;
	ck_assert(!is_quiet(f));
	f.sent_ago = QUIET_GAP_MS;
	ck_assert(is_quiet(f));
}

TEST(over_a_long_way_one_round_trip_more)
{
	struct connection f = answered();

	f.rtt = RTT_MS * 1000;
	ck_assert(!is_quiet(f));
	f.sent_ago += RTT_MS;
	f.received_ago += RTT_MS - 5;
	ck_assert(!is_quiet(f));
	f.received_ago += 5;
	ck_assert(is_quiet(f));
}

TEST(one_that_has_just_come_is_about_to_ask)
{
	struct connection f = {.kind = CONNECTION_TCP, .state = TCP_ESTABLISHED};

	f = moved(f, QUIET_GAP_MS - 1);
	check_busy(f);
	f.segments_out = 1; /* the server has greeted it */
	ck_assert(!is_quiet(f));
	f.segments_out = 0;
	ck_assert(is_quiet(moved(f, QUIET_GAP_MS)));
}

TEST(other_sockets_are_quiet_when_they_have_been_for_a_while)
{
	struct connection f = {.cookie = 9, .kind = CONNECTION_UNIX};
	struct quiet_memory first;
	struct quiet_memory second;
	struct quiet_memory third;

	ck_assert(!quiet_connection(&f, NULL, 0, TICK, false, false, &first));
	ck_assert(!quiet_connection(&f, &first, QUIET_UNSEEN_MS - 1, TICK, false, false, &second));
	ck_assert(quiet_connection(&f, &second, 1, TICK, false, false, &third));
	/* that was a doubt */
	ck_assert(quiet_connection(&f, &first, QUIET_GAP_MS, TICK, true, false, &second));
	ck_assert(!quiet_connection(&f, &first, QUIET_GAP_MS - 1, TICK, true, false, &second));
	f.queue = 1;
	ck_assert(!quiet_connection(&f, &third, 1, TICK, false, false, &first));
	f.queue = 0;
	ck_assert(!quiet_connection(&f, &first, 1, TICK, false, false, &second));
}

/* ---- … until half of drain-timeout any doubt counts as busy ---- */

TEST(a_tie_is_in_doubt_however_old)
{
	ck_assert(!is_quiet(tied()));
	ck_assert(!is_quiet(moved(tied(), 3600 * 1000)));
	ck_assert(is_quiet_late(tied()));
	ck_assert(!is_quiet_late(moved(tied(), QUIET_GAP_MS - 1)));
}

/* In the end it need not be silent, if it is asked so often that it never is. */
TEST(late_one_that_is_asked_all_the_time_is_quiet_in_between)
{
	struct connection f = answered();

	f.sent_ago = 0;
	f.received_ago = QUIET_GAP_MS - 1;
	ck_assert(!is_quiet(f));
	ck_assert(is_quiet_late(f));
	f.received_ago = QUIET_GAP_MS; /* a stream */
	ck_assert(!is_quiet_late(f));
}

TEST_LOOP(late_one_that_never_rests_is_quiet_after_a_slow_answer_too, 0, 4)
{
	static const struct {
		uint32_t rested, came, received_ago;
		bool quiet;
	} rows[] = {
		{0, 1, QUIET_BUSY_MS - 1, true}, {0, 1, QUIET_BUSY_MS, false}, /* a stream */
		{0, 0, QUIET_GAP_MS, false},                      /* one request alone was seen */
		{QUIET_BUSY_MS / 2, 1, QUIET_BUSY_MS - 1, false}, /* it will rest again */
	};
	struct connection f = answered();
	struct quiet_memory before;
	struct quiet_memory now;

	f.sent_ago = rows[_i].rested;
	f.received_ago = rows[_i].received_ago;
	(void)quiet_connection(&f, NULL, 0, TICK, false, false, &before);
	f.sent_ago = 0;
	f.segments_in += rows[_i].came;
	f.segments_out++;
	ck_assert(!quiet_connection(&f, &before, 5, TICK, false, false, &now));
	before = now;
	ck_assert_int_eq(quiet_connection(&f, &before, 5, TICK, true, false, &now), rows[_i].quiet);
}

TEST(a_tie_with_an_unacknowledged_answer_is_quiet)
{
	struct connection f = tied();

	f.unacked = 1;
	ck_assert(is_quiet(f));
}

TEST(a_tie_with_a_later_ack_is_quiet)
{
	struct connection f = tied();

	f.ack_ago -= 4;
	ck_assert(is_quiet(f));
	/* not if it is the answer to a probe */
	f = moved(tied(), 16000);
	f.ack_ago -= QUIET_PROBE_MS;
	ck_assert(!is_quiet(f));
	f.prompt = true;
	ck_assert(is_quiet(f));
}

/* The ACK of a request in one segment would have ended that mode if no answer had
 * carried it. */
TEST(a_tie_with_a_prompt_answer_to_one_segment_is_quiet)
{
	struct connection f = tied();

	f.prompt = true;
	ck_assert(!is_quiet(f)); /* the last request may be two of the three */
	f.segments_in = f.segments_out = 2;
	ck_assert(is_quiet(f));
	ck_assert(!is_quiet(moved(f, QUIET_GAP_MS - 1)));
	f.prompt = false;
	ck_assert(!is_quiet(f));
}

TEST(an_answer_between_two_looks_is_the_last_word)
{
	struct connection before = tied();

	before.segments_out--;
	ck_assert(is_quiet_then(before, tied()));
}

TEST(one_request_and_an_answer_since_a_quiet_look_are_quiet)
{
	struct connection before = answered();
	struct connection f = tied();

	f.segments_in++;
	f.segments_out++;
	f.acks_out++;
	ck_assert(is_quiet_then(before, f));
	ck_assert(!is_quiet_then(tied(), f)); /* that was not a quiet one */
	/* nor was that: what has left may be the rest of an answer */
	before.sent_ago = before.received_ago = 10;
	ck_assert(!is_quiet_then(before, f));
}

/* Two requests, and an answer in two segments: the balance is right, and the
 * second request waits. */
TEST(a_balance_of_segments_proves_nothing)
{
	struct connection f = tied();

	f.segments_in += 2;
	f.segments_out += 2;
	f.acks_out++;
	ck_assert(!is_quiet_then(answered(), f));
	f.segments_out += 2;
	ck_assert(!is_quiet_then(answered(), f));
}

/* Each request is acknowledged within 40 ms: where nothing but answers has left
 * since before it came, an answer did it. */
TEST(a_request_acknowledged_by_an_answer_is_answered)
{
	struct connection before = tied();
	struct connection f = tied();

	before.segments_in--;
	before.segments_out--;
	ck_assert(is_quiet_then(before, f));
	/* it has left */
	f.acks_out++;
	ck_assert(!is_quiet_then(before, f));
	/* it may be later over such a way */
	f.acks_out--;
	f.rtt = QUIET_ACK;
	ck_assert(!is_quiet_then(before, moved(f, 500)));
	/* nobody looked before the request came */
	f.rtt = 50;
	ck_assert(!is_quiet_then(f, f));
}

/* The first segment that came has an acknowledgement of its own. */
TEST(who_never_acknowledged_without_an_answer_has_answered)
{
	struct connection f = tied();

	f.acks_out = 1;
	ck_assert(is_quiet(f));
	f.acks_out = 2;
	ck_assert(!is_quiet(f));
	f.acks_out = 1;
	f.segments_in = f.segments_out = 1;
	ck_assert(!is_quiet(f)); /* that was it, and no answer since */
	f.acks_out = 0;
	ck_assert(is_quiet(f));
}

TEST(what_is_not_read_is_not_remembered_as_answered)
{
	struct connection before = tied();

	before.unacked = 1;
	before.queue = 10;
	ck_assert(!is_quiet_then(before, tied()));
}

/* Pushed by the worker, asked by the client, and this in a WebSocket that never pauses. */
TEST_LOOP(what_is_pushed_after_a_quiet_look_is_no_answer, 0, 3)
{
	struct connection f = answered();
	struct quiet_memory before;
	struct quiet_memory now;

	f.received_ago = f.sent_ago + 1;
	ck_assert(quiet_connection(&f, NULL, 0, TICK, false, false, &before));
	f.segments_out++;
	f.segments_in += _i > 0;
	f.sent_ago = 1;
	ck_assert(!quiet_connection(&f, &before, 5, TICK, false, false, &now));
	ck_assert(quiet_stays(&f, &before, _i == 2, &now) == (_i != 1));
	f.queue = 1;
	ck_assert(!quiet_stays(&f, &before, true, &now));
}

/* ---- between two requests ---- */

/* A connection that has had 1,000 bytes and an answer of 5,000, as a look finds it. */
static struct connection between(uint64_t in, uint32_t queue, uint64_t out, bool whole)
{
	struct connection f = answered();

	f.bytes_in = in;
	f.queue = queue;
	f.bytes_out = f.bytes_acked = out;
	f.whole = whole;
	return f;
}

static bool is_between(const struct connection *looks, size_t count)
{
	struct quiet_memory memory[8];

	for (size_t i = 0; i < count; i++)
		(void)quiet_connection(&looks[i], i > 0 ? &memory[i - 1] : NULL, 5, TICK, false,
			false, &memory[i]);
	return quiet_is_between(&looks[count - 1], &memory[count - 1]);
}
#define IS_BETWEEN(...) \
	is_between((const struct connection[]){__VA_ARGS__}, \
		sizeof((const struct connection[]){__VA_ARGS__}) / sizeof(struct connection))

TEST(a_request_that_was_read_and_then_answered_was_whole)
{
	/* it is read, it is answered, the next one lies unread */
	ck_assert(IS_BETWEEN(between(1000, 0, 5000, false), between(1100, 100, 5200, true)));
	ck_assert(IS_BETWEEN(between(1000, 0, 5000, false), between(1000, 0, 5200, false),
		between(1100, 100, 5200, true)));
}

TEST(what_a_single_look_finds_unread_may_be_a_body)
{
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true)));
	ck_assert(!IS_BETWEEN(between(1000, 0, 5000, false), between(1100, 100, 5000, true)));
}

TEST(an_interim_answer_is_no_proof)
{
	ck_assert(!IS_BETWEEN(between(1000, 0, 5000, false), between(1100, 100, 5025, true)));
	ck_assert(!IS_BETWEEN(between(1000, 0, 5000, false), between(1000, 0, 5025, false),
		between(1100, 100, 5064, true)));
}

/* "HTTP/1.1 200 OK" and "Content-Length: 0". */
TEST(short_answers_are_proof_when_there_are_two)
{
	ck_assert(IS_BETWEEN(between(1100, 100, 5000, true), between(1200, 100, 5040, true),
		between(1300, 100, 5080, true)));
	ck_assert(IS_BETWEEN(between(1000, 0, 5000, false), between(1100, 100, 5040, true),
		between(1200, 100, 5080, true)));
	/* the second one is not there yet */
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true), between(1200, 100, 5040, true),
		between(1300, 100, 5040, true)));
	/* more than one request was read in between */
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true), between(1200, 100, 5040, true),
		between(1400, 100, 5120, true)));
}

TEST(who_has_read_a_part_of_what_came_is_busy)
{
	ck_assert(!IS_BETWEEN(between(1000, 0, 5000, false), between(1100, 60, 5200, true)));
}

TEST(what_a_client_has_not_acknowledged_is_of_the_answer_to_what_it_asked_last)
{
	struct connection asked = between(1000, 0, 5200, false);

	asked.bytes_acked = 5000;
	ck_assert(IS_BETWEEN(asked));
	ck_assert(IS_BETWEEN(asked, between(1100, 100, 5200, true)));
	asked.bytes_acked = 5175; /* "100 Continue" */
	ck_assert(!IS_BETWEEN(asked));
	/* what lies unread came after an answer that it has not acknowledged yet */
	asked = between(1100, 100, 5200, true);
	asked.bytes_acked = 5000;
	ck_assert(!IS_BETWEEN(asked));
}

TEST(a_whole_request_that_was_unread_is_over_when_just_that_was_read_and_answered)
{
	ck_assert(IS_BETWEEN(between(1100, 100, 5000, true), between(1200, 100, 5200, true)));
	/* more was read than that */
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true), between(1300, 100, 5200, true)));
	/* it was a part of a body: nothing was sent */
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true), between(1200, 100, 5000, true)));
	/* it is unread still */
	ck_assert(!IS_BETWEEN(between(1100, 100, 5000, true), between(1100, 100, 5200, true)));
	ck_assert(IS_BETWEEN(between(1100, 100, 5000, true), between(1100, 100, 5100, true),
		between(1200, 100, 5300, true)));
}

/* HTTP/1.0, or the beginning of a long head: it is not handed on, and shows the end as well. */
TEST(so_is_one_that_every_client_repeats)
{
	struct connection looks[] = {between(1100, 100, 5000, false),
		between(1200, 100, 5200, false), between(1300, 100, 5200, false)};

	looks[0].asks = true;
	ck_assert(is_between(looks, 2));
	ck_assert(!is_between(looks, 3)); /* it is not answered */
	looks[0].asks = false;
	ck_assert(!is_between(looks, 2));
}

TEST(the_first_request_of_a_connection_begins_it)
{
	ck_assert(IS_BETWEEN(between(100, 100, 0, true)));
	ck_assert(!IS_BETWEEN(between(100, 50, 0, true)));
}

TEST_LOOP(an_answer_that_pauses_is_not_quiet_before_it_could_go_on, 0, 2)
{
	struct connection f = answered();
	struct quiet_memory now;

	f.received_ago = 2400;
	f.sent_ago = 900 + 400 * (uint32_t)_i; /* 1.5 s, or 1.1 s after the request */
	f.segments_in = 1;
	ck_assert_int_eq(quiet_connection(&f, NULL, 0, TICK, false, false, &now), _i);
	ck_assert(!now.guessed);
	ck_assert(quiet_connection(&f, NULL, 0, TICK, true, false, &now));
	ck_assert_int_eq(now.guessed, !_i);
}

/* A request that came in several segments; the answers of this worker may take seconds, or not. */
TEST_LOOP(what_nothing_shows_is_in_doubt_for_a_while, 0, 2)
{
	struct connection f = moved(tied(), QUIET_UNSEEN_MS - 1);
	struct quiet_memory now;

	f.prompt = true;
	ck_assert(!quiet_connection(&f, NULL, 0, TICK, false, _i, &now));
	ck_assert(now.tied);
	f = moved(f, QUIET_UNSEEN_MS);
	ck_assert_int_eq(quiet_connection(&f, NULL, 0, TICK, false, _i, &now), !_i);
	f.prompt = false; /* an ACK alone has left: it was for a request that has no answer yet */
	ck_assert(!quiet_connection(&f, NULL, 0, TICK, false, _i, &now));
	ck_assert(is_quiet_late(f));
}

TEST(a_thread_that_waits_for_the_next_request_has_answered)
{
	struct connection f = moved(tied(), QUIET_GAP_MS);

	ck_assert(!is_quiet(f));
	f.awaited = true;
	ck_assert(is_quiet(f));
	f.sent_ago += 4; /* it waits for the rest of a request */
	check_busy(f);
}

TEST(the_rest_of_a_body_is_of_no_other_protocol)
{
	struct connection head = between(1100, 0, 5200, false);
	struct connection rest = between(1600, 500, 5200, false);
	struct quiet_memory before;
	struct quiet_memory now;

	rest.unknown = true;
	(void)quiet_connection(&head, NULL, 0, TICK, false, false, &before);
	(void)quiet_connection(&rest, &before, 5, TICK, false, false, &now);
	ck_assert(!now.unknown);
	rest.bytes_out += 200; /* an answer went out before these bytes were read */
	before = now;
	(void)quiet_connection(&rest, &before, 5, TICK, false, false, &now);
	ck_assert(now.unknown);
}

TEST(memory_is_found_by_cookie_in_order)
{
	const struct quiet_memory list[] = {{.cookie = 4}, {.cookie = 5}, {.cookie = 7}};
	size_t at = 0;

	ck_assert_ptr_null(quiet_find(list, 3, &at, 3));
	ck_assert_ptr_eq(quiet_find(list, 3, &at, 4), &list[0]);
	ck_assert_ptr_null(quiet_find(list, 3, &at, 6));
	ck_assert_ptr_eq(quiet_find(list, 3, &at, 7), &list[2]);
	ck_assert_ptr_eq(quiet_find(list, 3, &at, 7), &list[2]);
	ck_assert_ptr_null(quiet_find(list, 3, &at, 9));
	ck_assert_ptr_null(quiet_find(NULL, 0, &at, 4));
}
