/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/common/part.h"

#include <stdlib.h>
#include <string.h>

/*
 * The orders of the one list of parts that matter, each with what a user would see
 * if it were another one.  A rule about a hook that a room does not have any more fails,
 * too: then it can go.
 */
static unsigned place_of(const char *name)
{
	for (unsigned i = 0; i < part_count; i++)
		if (strcmp(parts[i]->name, name) == 0)
			return i;
	ck_abort_msg("there is no part '%s'", name);
	return 0;
}

#define IN_ORDER(first, second, hook) \
	do { \
		unsigned a_ = place_of(first); \
		unsigned b_ = place_of(second); \
\
		ck_assert_msg(parts[a_]->hook != NULL, first " has no " #hook " any more"); \
		ck_assert_msg(parts[b_]->hook != NULL, second " has no " #hook " any more"); \
		ck_assert_msg(a_ < b_, #hook ": " first " has to come before " second); \
	} while (0)

TEST(the_list_is_whole)
{
	unsigned count = 0;

	while (parts[count] != NULL)
		count++;
	ck_assert_uint_eq(count, part_count);
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(place_of(parts[i]->name), i);
}

/* Killed right after, nclust's successor gets the worker's trap and channel back. */
TEST(a_keeper_gets_what_other_rooms_have_of_a_new_worker)
{
	IN_ORDER("intercept", "orphans", born);
	IN_ORDER("messages", "orphans", born);
}

/* Else the first client of a cluster that sleeps would get 503. */
TEST(a_fallback_knows_which_cluster_is_asleep)
{
	IN_ORDER("scaling", "fallback", report);
	IN_ORDER("scaling", "fallback", go_on);
	IN_ORDER("scaling", "fallback", reloaded);
}

/* Killed right after, nclust's successor finds in the state file whose sockets the
 * worker has, and whether its calls are trapped. */
TEST(what_is_written_down_of_a_birth_is_all_there)
{
	IN_ORDER("drain", "orphans", prepare);
	IN_ORDER("intercept", "orphans", prepare);
	IN_ORDER("messages", "orphans", prepare);
}

/* Backwards: a Node worker's handles are given back while it still has a channel,
 * and the sockets that it used are still known. */
TEST(node_gives_back_before_what_it_needs_is_gone)
{
	IN_ORDER("messages", "node", gone);
	IN_ORDER("intercept", "node", gone);
}

/* Backwards: the keeper is told to let go while what it holds is still open. */
TEST(the_keeper_lets_go_first)
{
	IN_ORDER("intercept", "orphans", gone);
	IN_ORDER("messages", "orphans", gone);
}

/* In the log, what leads to an event stands before it, and what follows from it
 * behind. */
TEST(a_report_is_told_between_its_causes_and_its_effects)
{
	IN_ORDER("drain", "news", report);
	IN_ORDER("accept", "news", report);
	IN_ORDER("news", "instance", report);
	IN_ORDER("news", "hooks", report);
}

/* What it finds may end the worker that the report is of. */
TEST(health_hears_a_report_last)
{
	for (unsigned i = place_of("health") + 1; i < part_count; i++)
		ck_assert(parts[i]->report == NULL);
}

/* Somebody takes each stop signal: else a worker would never hear of it. */
TEST(the_drain_is_the_last_that_is_asked_to_stop_a_worker)
{
	for (unsigned i = place_of("drain") + 1; i < part_count; i++)
		ck_assert(parts[i]->stop == NULL);
}

/* Rooms find done what the ground does. */
TEST(the_ground_hears_first)
{
	ck_assert_uint_eq(place_of("workers"), 0);
}

/* Backwards: programs that read a status know its members in this order. */
TEST(the_members_of_a_worker_stand_in_their_order)
{
	IN_ORDER("node", "control", status_worker);
	IN_ORDER("control", "health", status_worker);
}
