/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "base/text.h"
#include "os/socket/sockdiag.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/drain/host.h"

#include <stdio.h>

/* Who is waited for when the host is drained, and undrained. */
ROOM_HEARS("news")

/* What was told last of a verb; its code is 1 while nothing was. */
static struct verb_step over;
static char text[320];

REPLACED(void, control_on_verb)(struct supervisor *sup, const struct verb_step *verb)
{
	(void)sup;
	over = *verb;
	text_copy(text, sizeof(text), verb->text);
}

static unsigned looks;
static bool unknown; /* which connections there are; else there are none */

REPLACED(int, sockdiag_each_tcp)(bool info, sockdiag_each *each, void *context)
{
	(void)info;
	(void)each;
	(void)context;
	looks++;
	return unknown ? -1 : 0;
}

static struct service *web;

static void begin(void)
{
	looks = 0;
	over.code = 1;
	unknown = false;
	web = room_web("[cluster:web]\ncommand = /bin/web\nworkers = 1\n"
		       "ready = notify\n");
}

static void end(void)
{
	host_end(&room);
	room_end();
}

FIXTURE(begin, end)

/* Two load balancers, each two seconds. */
static void ask_regularly(void)
{
	for (int i = 0; i < 3; i++) {
		host_asked(&room, "agent 10.0.0.1,http 10.0.0.2");
		room_pass(2 * SECOND);
	}
}

static bool has_begun_to_look(void)
{
	room_pass(MSEC);
	return looks > 0;
}

static bool is_over(enum control_method method, int code)
{
	return over.code == code && over.method == method;
}

TEST(an_agent_hears_once_and_readyz_three_times)
{
	ask_regularly();
	host_turn(&room, true, 60 * SECOND);
	ck_assert(!has_begun_to_look());
	room_pass(SECOND);
	host_asked(&room, "agent 10.0.0.1");
	ck_assert(!has_begun_to_look());
	for (int i = 0; i < 3; i++) {
		ck_assert(!has_begun_to_look());
		host_asked(&room, "http 10.0.0.2");
		room_pass(500 * MSEC);
	}
	ck_assert(has_begun_to_look());
	ck_assert_int_eq(over.code, 1);
	room_pass(SECOND);
	ck_assert(is_over(METHOD_DRAIN, 0));
	ck_assert(room_logged("empty after 3"));
}

TEST(whoever_has_stopped_asking_is_not_waited_for)
{
	ask_regularly();
	host_turn(&room, true, 60 * SECOND);
	room_pass(4 * SECOND);
	ck_assert(!has_begun_to_look());
	room_pass(2 * SECOND);
	ck_assert(has_begun_to_look());
}

TEST(whoever_asked_once_or_seldom_is_no_load_balancer)
{
	host_asked(&room, "http 10.0.0.9");
	room_pass(36 * SECOND);
	host_asked(&room, "http 10.0.0.9,http 10.0.0.8");
	room_pass(SECOND);
	host_asked(&room, "http 10.0.0.9,http 10.0.0.8");
	host_turn(&room, true, 60 * SECOND);
	ck_assert(has_begun_to_look());
}

/* Whoever it pushes out is not waited for, and nobody for long; nothing grows. */
TEST(a_crowd_of_addresses_harms_nobody)
{
	char who[32];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++) {
			snprintf(who, sizeof(who), "http 10.1.0.%d", i);
			host_asked(&room, who);
		}
		host_asked(&room, ",,http ,agent 10.0.0.1");
		room_pass(SECOND);
	}
	host_turn(&room, true, 60 * SECOND);
	room_pass(4 * SECOND);
	ck_assert(has_begun_to_look());
}

TEST(an_undrain_waits_for_a_worker_and_for_who_asks)
{
	host_turn(&room, true, 60 * SECOND);
	ask_regularly();
	over.code = 1;
	host_turn(&room, false, 60 * SECOND);
	room_pass(MSEC);
	ck_assert_int_eq(over.code, 1);
	host_asked(&room, "agent 10.0.0.1");
	for (int i = 0; i < 3; i++)
		host_asked(&room, "http 10.0.0.2");
	room_pass(200 * MSEC);
	ck_assert_int_eq(over.code, 1);
	room_tell(room_child(web, 0), EVENT_READY);
	room_pass(200 * MSEC);
	ck_assert(is_over(METHOD_UNDRAIN, 0));
}

TEST(a_wait_ends_in_time_and_by_the_contrary)
{
	unknown = true;
	host_turn(&room, true, 3 * SECOND);
	ck_assert(has_begun_to_look());
	room_pass(4 * SECOND);
	ck_assert(is_over(METHOD_DRAIN, CONTROL_TIMED_OUT));
	ck_assert(strstr(text, "stays drained until 'nclust undrain") != NULL);
	over.code = 1;
	host_turn(&room, true, 3 * SECOND);
	ck_assert_int_eq(over.code, 1);
	host_turn(&room, false, 3 * SECOND);
	ck_assert(is_over(METHOD_DRAIN, CONTROL_FAILED));
	ck_assert_str_eq(text, "not empty: it was undrained meanwhile");
}
