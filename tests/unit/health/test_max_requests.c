/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/node/node.h"

/*
 * `max-requests`: who is replaced, and when, by how many connections it has taken.
 */
#define WEB(n, more) \
	"[cluster:web]\ncommand = /bin/web\nworkers = " n \
	"\ndrain = off\nready = notify\nlisten = 127.0.0.1:0\n" more
#define STABLE "stable-after = 2s\n"

static uint64_t taken;

REPLACED(uint64_t, node_taken)(const struct child *child)
{
	(void)child;
	return taken;
}

ROOM_HEARS("health", "held", "news")

static struct service *web;
static struct child *first;

static void begin(const char *ini)
{
	taken = 0;
	web = room_web(ini);
	room_ready(web, 1);
	first = room_child(web, 0);
}

FIXTURE(NULL, room_end)

static bool is_outgrown(void)
{
	return first->health != NULL && first->health->outgrown;
}

/* At that pace, until it is to be replaced; how many it has taken, or 0. */
static uint64_t taken_until_replaced(unsigned a_second, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		taken += a_second;
		room_pass(SECOND);
		if (is_outgrown())
			return taken;
	}
	return 0;
}

TEST(it_is_replaced_after_so_many)
{
	uint64_t got;

	begin(WEB("1", "max-requests = 1000\n" STABLE));
	got = taken_until_replaced(10, 120);
	ck_assert_uint_ge(got, 900);
	ck_assert_uint_le(got, 1110);
}

TEST(a_flood_is_no_reason_before_it_was_ready_for_a_while)
{
	begin(WEB("1", "max-requests = 10\n" STABLE));
	taken = 100000;
	room_pass(19 * SECOND);
	ck_assert(!is_outgrown());
	room_pass(2 * SECOND);
	ck_assert(is_outgrown());
}

TEST(without_a_limit_nothing_is_counted)
{
	begin(WEB("1", STABLE));
	taken = 5000;
	room_pass(MINUTE);
	ck_assert_ptr_null(first->health);
}
