/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/common/news.h"
#include "supervisor/health/health.h"
#include "supervisor/node/node.h"
#include "supervisor/workers/service.h"

#include <errno.h>

/*
 * `max-requests`: who is replaced, and when, by what a room says that it gave.
 */
#define WEB(n, more) \
	"[cluster:web]\ncommand = /bin/web\nworkers = " n \
	"\ndrain = off\nready = notify\nlisten = 127.0.0.1:0\n" more
#define STABLE "stable-after = 2s\n"

static struct dealt gives[2];

REPLACED(void, node_dealt)(const struct child *child, struct dealt *to)
{
	*to = gives[child->slot];
}

ROOM_PARTS(&health_part, &news_part, &plain_part)

static struct service *web;
static struct child *first[2]; /* of each slot: replaced ones stay, too */

static void begin(const char *ini, unsigned workers)
{
	for (unsigned slot = 0; slot < 2; slot++)
		gives[slot] = (struct dealt){.known = true};
	web = room_web(ini);
	room_ready(web, workers);
	for (unsigned slot = 0; slot < workers; slot++)
		first[slot] = room_child(web, slot);
}

FIXTURE(NULL, room_end)

static const struct health *health_at(uint32_t slot)
{
	return first[slot]->health;
}

/* At that pace, until it is to be replaced; how many it got, or 0. */
static uint64_t got_until_replaced(unsigned a_second, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		gives[0].count += a_second;
		room_pass(SECOND);
		if (health_at(0)->outgrown)
			return health_at(0)->requests;
	}
	return 0;
}

TEST(it_is_replaced_after_so_many)
{
	uint64_t got;

	begin(WEB("1", "max-requests = 1000\n" STABLE), 1);
	got = got_until_replaced(10, 120);
	ck_assert_uint_ge(got, 900);
	ck_assert_uint_le(got, 1110);
}

TEST(a_flood_is_no_reason_before_it_was_ready_for_a_while)
{
	begin(WEB("1", "max-requests = 10\n" STABLE), 1);
	gives[0].count = 100000;
	room_pass(19 * SECOND);
	ck_assert_uint_eq(health_at(0)->requests, 100000);
	ck_assert(!health_at(0)->outgrown);
	room_pass(2 * SECOND);
	ck_assert(health_at(0)->outgrown);
}

/* What was given before it was ready is another's, and so is what was before a
 * listener was closed. */
TEST(only_what_comes_counts)
{
	begin(WEB("1", "max-requests = 1000\n" STABLE), 1);
	gives[0].count = 500;
	room_pass(10 * SECOND);
	ck_assert_uint_eq(health_at(0)->requests, 500);
	gives[0].count = 20;
	room_pass(MINUTE);
	ck_assert_uint_eq(health_at(0)->requests, 500);
	gives[0].count = 30;
	room_pass(MINUTE);
	ck_assert_uint_eq(health_at(0)->requests, 510);
}

TEST(without_a_limit_nothing_is_counted)
{
	begin(WEB("1", STABLE), 1);
	gives[0].count = 5000;
	room_pass(MINUTE);
	ck_assert_ptr_null(health_at(0));
}
