/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/clock.h"

/* How much of nclust's time workers get that ask for it as often as they may. */

#define TWO \
	"[cluster:web]\ncommand = /bin/web\nworkers = 10\n" \
	"start-at-once = all\n" \
	"[cluster:job]\ncommand = /bin/job\nworkers = 1\n"
#define WORKERS 11 /* the last one is job's */
#define JOB 10
#define STEP (10 * MSEC)

ROOM_HEARS("news")

static nsec_t worked;

REPLACED(nsec_t, clock_worked)(void)
{
	return worked;
}

static struct monitor {
	struct child *child;
	bool rests;
	nsec_t used;
} monitors[WORKERS];

static void rest(struct child *child, bool over)
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (monitors[i].child == child)
			monitors[i].rests = !over;
}

static void begin(void)
{
	room_begin(TWO);
	room_tick(room_cluster("web"));
	room_tick(room_cluster("job"));
	for (unsigned i = 0; i < WORKERS; i++) {
		monitors[i] = (struct monitor){
			.child = i == JOB ? room_child(room_cluster("job"), 0)
					  : room_child(room_cluster("web"), i),
		};
	}
}

static void end(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		allowance_stop(monitors[i].child, rest);
	room_end();
}

/* If nclust reads what this worker asks, that takes so long. */
static void ask(unsigned i, nsec_t cost)
{
	struct monitor *a = &monitors[i];
	nsec_t begun;

	if (a->rests)
		return;
	begun = allowance_begin();
	worked += cost;
	a->used += cost;
	allowance_end(a->child, rest, begun, "asks");
}

/* Web's first `count` workers, and job's, ask all the time. */
static void all_ask(unsigned count, nsec_t each, nsec_t span)
{
	for (; span > 0; span -= STEP) {
		for (unsigned i = 0; i < count; i++)
			ask(i, each);
		ask(JOB, STEP / 20);
		room_pass(STEP);
	}
}

static nsec_t used_by_web(void)
{
	nsec_t used = 0;

	for (unsigned i = 0; i < JOB; i++)
		used += monitors[i].used;
	return used;
}

static unsigned count_of(const char *piece)
{
	unsigned n = 0;

	for (const char *at = room_log(); (at = strstr(at, piece)) != NULL; at++)
		n++;
	return n;
}

FIXTURE(begin, end)

TEST(one_worker_gets_a_tenth_of_the_time)
{
	all_ask(1, 5 * MSEC, 20 * SECOND);
	ck_assert_int_le(monitors[0].used, 3200 * MSEC);
	ck_assert_int_ge(monitors[0].used, 2800 * MSEC);
	ck_assert_uint_eq(count_of("asks so much"), 1);
	ck_assert_uint_eq(count_of("nclust now spends at most"), 1);
}

TEST(all_workers_of_a_cluster_get_two_tenths_together)
{
	all_ask(10, 2 * MSEC, 20 * SECOND);
	ck_assert_int_le(used_by_web(), 6500 * MSEC);
	ck_assert_int_ge(used_by_web(), 5500 * MSEC);
	for (unsigned i = 0; i < JOB; i++) /* none gets nothing */
		ck_assert_int_ge(monitors[i].used, 200 * MSEC);
	ck_assert_uint_eq(count_of("web: its workers together"), 1);
	/* one of another cluster never waits */
	ck_assert_int_eq(monitors[JOB].used, SECOND);
	ck_assert(!allowance_rests(monitors[JOB].child, rest));
	ck_assert(allowance_is_ample(monitors[JOB].child));
}

TEST(who_asks_seldom_never_waits)
{
	for (int i = 0; i < 100; i++) {
		ask(0, 90 * MSEC);
		ck_assert(!allowance_rests(monitors[0].child, rest));
		room_pass(SECOND);
	}
	ck_assert_uint_eq(count_of("nclust now spends at most"), 0);
}

TEST(what_was_closed_meanwhile_is_not_read_again)
{
	ask(0, 2 * SECOND);
	ck_assert(allowance_rests(monitors[0].child, rest));
	allowance_stop(monitors[0].child, rest);
	room_pass(30 * SECOND);
	ck_assert(monitors[0].rests);
}

static bool rests_too;

static void rest_too(struct child *child, bool over)
{
	(void)child;
	rests_too = !over;
}

TEST(what_it_asks_in_two_ways_counts_together)
{
	nsec_t begun;

	ask(0, 900 * MSEC);
	ck_assert(!monitors[0].rests);
	begun = allowance_begin();
	worked += 200 * MSEC;
	allowance_end(monitors[0].child, rest_too, begun, "asks");
	ck_assert(rests_too);
	ck_assert(
		!monitors[0].rests); /* what it asks in the other way is read still, and counted */
	ask(0, MSEC);
	ck_assert(monitors[0].rests);
	ck_assert(rests_too);
	room_pass(30 * SECOND);
	ck_assert(!monitors[0].rests);
	ck_assert(!rests_too);
	ask(0, 2 * SECOND);
	begun = allowance_begin();
	worked += 1 * MSEC;
	allowance_end(monitors[0].child, rest_too, begun, "asks");
	allowance_stop(monitors[0].child, rest);
	room_pass(60 * SECOND);
	ck_assert(monitors[0].rests);
	ck_assert(!rests_too);
}
