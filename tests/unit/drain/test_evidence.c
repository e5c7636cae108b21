/* SPDX-License-Identifier: MIT */
#include "lanes_lib.h"

#include "os/process.h"
#include "os/socket/least.h"
#include "supervisor/drain/evidence.h"

#include <errno.h>

/*
 * `balance = auto`: workers share a socket until one of them has used most of the
 * CPU time.
 */
#define WEB(workers, more) \
	"[cluster:web]\ncommand = /bin/web\nready = notify\nlisten = " \
	"127.0.0.1:0\ndrain = signal\nworkers = " workers "\n" more

static nsec_t ran[8]; /* by slot */
static int least_error;

REPLACED(bool, drain_is_stubborn)(struct child *child, unsigned least)
{
	(void)child;
	(void)least;
	return false;
}

REPLACED(nsec_t, process_ran)(pid_t pid)
{
	for (uint32_t slot = 0; slot < web->child_slots; slot++)
		for (int k = 0; k < 2; k++)
			if (web->children[slot][k] != NULL &&
				web->children[slot][k]->pid == pid)
				return ran[slot];
	return 0;
}

REPLACED(int, least_open)(struct least *least)
{
	(void)least;
	errno = least_error;
	return errno != 0 ? -1 : 0;
}

REPLACED(void, least_close)(struct least *least)
{
	(void)least;
}

static void begin(const char *ini, unsigned workers, nsec_t before)
{
	least_error = 0;
	room_begin(ini);
	web = room_cluster("web");
	for (uint32_t slot = 0; slot < workers; slot++)
		room_tick(web);
	l = web->held.listeners.list[0];
	for (uint32_t slot = 0; slot < 8; slot++)
		ran[slot] = before;
	for (uint32_t slot = 0; slot < workers; slot++)
		room_tell(room_child(web, slot), EVENT_READY);
	room_tick(web);
}

static void restart(void)
{
	const struct roll roll = {.slot = SLOT_ALL};
	struct error err;

	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
}

static bool spreads(void)
{
	return evidence_spreads(web, cluster_generation(web->core) + 1);
}

TEST(one_that_has_most_of_it_is_a_reason)
{
	begin(WEB("3", ""), 3, SECOND);
	ran[1] += 300 * MSEC;
	ran[2] += 100 * MSEC;
	restart();
	ck_assert(spreads());
	ck_assert(room_logged("web.1 has 75 % of the CPU time"));
	room_end();
}

TEST(even_ones_share)
{
	begin(WEB("3", ""), 3, 0);
	ran[0] = 300 * MSEC;
	ran[1] = 200 * MSEC;
	ran[2] = 100 * MSEC;
	restart();
	ck_assert(!spreads());
	ck_assert_uint_eq(group_size(l), 1);
	room_end();
}

TEST(what_they_did_to_get_ready_does_not_count)
{
	begin(WEB("3", ""), 3, 9 * SECOND);
	ran[1] += 150 * MSEC;
	restart();
	ck_assert(!spreads()); /* too little to say */
	room_end();
}

TEST(with_little_to_do_it_does_not_matter_who_does_it)
{
	begin(WEB("3", ""), 3, 0);
	ran[1] = 2 * SECOND;
	room_pass(9 * SECOND);
	restart();
	ck_assert(!spreads());
	room_end();
}

TEST(of_two_one_may_have_more)
{
	begin(WEB("2", ""), 2, 0);
	ran[0] = 700 * MSEC;
	ran[1] = 300 * MSEC;
	restart();
	ck_assert(!spreads());
	room_end();
}

TEST(who_says_how_is_not_asked)
{
	begin(WEB("3", "balance = share\n"), 3, 0);
	ran[0] = SECOND;
	restart();
	ck_assert(!spreads());
	room_end();
}

TEST(without_rights_they_share_as_one_line_says)
{
	begin(WEB("3", ""), 3, 0);
	least_error = EPERM;
	ran[0] = SECOND;
	restart();
	ck_assert(!spreads());
	ck_assert(room_logged("still share a socket"));
	room_end();
}
