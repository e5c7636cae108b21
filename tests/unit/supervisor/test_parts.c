/* SPDX-License-Identifier: MIT */
#include "supervisor/common/part.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/*
 * The orders of the one list of parts that matter, each with what a user would see
 * if it were another one.  A rule about a deed that a room has not any more fails,
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

#define IN_ORDER(first, second, deed) \
	do { \
		unsigned a_ = place_of(first); \
		unsigned b_ = place_of(second); \
\
		ck_assert_msg(parts[a_]->deed != NULL, \
			first " has no " #deed " any more"); \
		ck_assert_msg(parts[b_]->deed != NULL, \
			second " has no " #deed " any more"); \
		ck_assert_msg(a_ < b_, \
			#deed ": " first " has to come before " second); \
	} while (0)

START_TEST(the_list_is_whole)
{
	unsigned count = 0;

	while (parts[count] != NULL)
		count++;
	ck_assert_uint_eq(count, part_count);
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(place_of(parts[i]->name), i);
}
END_TEST

/* The keeper is sent pidfd, notify socket, trap and channel in this order, which an
 * older or newer nclust reads back. */
START_TEST(a_keeper_gets_descriptors_in_the_order_of_the_wire)
{
	IN_ORDER("intercept", "orphans", born);
	IN_ORDER("messages", "orphans", born);
	IN_ORDER("intercept", "messages", born);
}
END_TEST

/* Killed right after, nclust's successor finds in the state file whose sockets the
 * worker has, and whether its calls are trapped. */
/* Else the first client of a cluster that sleeps would get 503. */
START_TEST(a_fallback_knows_which_cluster_is_asleep)
{
	IN_ORDER("scaling", "fallback", report);
	IN_ORDER("scaling", "fallback", go_on);
	IN_ORDER("scaling", "fallback", reloaded);
}
END_TEST

START_TEST(what_is_written_down_of_a_birth_is_all_there)
{
	IN_ORDER("drain", "orphans", prepare);
	IN_ORDER("intercept", "orphans", prepare);
	IN_ORDER("messages", "orphans", prepare);
}
END_TEST

/* Backwards: a Node worker's handles are given back while it still has a channel,
 * and the sockets that it used are still known. */
START_TEST(node_gives_back_before_what_it_needs_is_gone)
{
	IN_ORDER("messages", "node", gone);
	IN_ORDER("intercept", "node", gone);
}
END_TEST

/* Backwards: the keeper is told to let go while what it holds is still open. */
START_TEST(the_keeper_lets_go_first)
{
	IN_ORDER("intercept", "orphans", gone);
	IN_ORDER("messages", "orphans", gone);
}
END_TEST

/* A worker of Node's cluster disconnects by itself: it must not be ended, or looked
 * at, as one that does not know how. */
START_TEST(node_is_asked_before_the_drain)
{
	IN_ORDER("node", "drain", stop);
	IN_ORDER("node", "drain", drain);
}
END_TEST

/* In the log, what leads to an event stands before it, and what follows from it
 * behind. */
START_TEST(a_report_is_told_between_its_causes_and_its_effects)
{
	IN_ORDER("drain", "news", report);
	IN_ORDER("accept", "news", report);
	IN_ORDER("news", "instance", report);
	IN_ORDER("news", "hooks", report);
}
END_TEST

/* What it finds may end the worker that the report is of. */
START_TEST(health_hears_a_report_last)
{
	for (unsigned i = place_of("health") + 1; i < part_count; i++)
		ck_assert(parts[i]->report == NULL);
}
END_TEST

/* Somebody takes each stop signal: else a worker would never hear of it. */
START_TEST(the_drain_is_the_last_that_is_asked_to_stop_a_worker)
{
	for (unsigned i = place_of("drain") + 1; i < part_count; i++)
		ck_assert(parts[i]->stop == NULL);
}
END_TEST

/* Rooms find done what the ground does. */
START_TEST(the_ground_hears_first)
{
	ck_assert_uint_eq(place_of("workers"), 0);
}
END_TEST

/* Backwards: programs that read a status know its members in this order. */
START_TEST(the_members_of_a_worker_stand_in_their_order)
{
	IN_ORDER("node", "control", status_worker);
	IN_ORDER("control", "health", status_worker);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("supervisor/parts");
	TCase *all = tcase_create("parts");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(all, the_list_is_whole);
	tcase_add_test(all, a_keeper_gets_descriptors_in_the_order_of_the_wire);
	tcase_add_test(all, a_fallback_knows_which_cluster_is_asleep);
	tcase_add_test(all, what_is_written_down_of_a_birth_is_all_there);
	tcase_add_test(all, node_gives_back_before_what_it_needs_is_gone);
	tcase_add_test(all, the_keeper_lets_go_first);
	tcase_add_test(all, node_is_asked_before_the_drain);
	tcase_add_test(
		all, a_report_is_told_between_its_causes_and_its_effects);
	tcase_add_test(all, health_hears_a_report_last);
	tcase_add_test(
		all, the_drain_is_the_last_that_is_asked_to_stop_a_worker);
	tcase_add_test(all, the_ground_hears_first);
	tcase_add_test(all, the_members_of_a_worker_stand_in_their_order);
	suite_add_tcase(s, all);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
