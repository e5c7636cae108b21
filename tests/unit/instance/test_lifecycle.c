/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/common/news.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>

/* When the instance is started, when it is over, and with which exit status. */
#define TWO \
	"[cluster:web]\ncommand = /bin/web\nworkers = 1\nready = notify\n" \
	"drain = off\ngive-up = 3/1m\n" \
	"[cluster:job]\ncommand = /bin/job\nworkers = 1\nready = notify\n" \
	"drain = off\n"

/* A command is under way. */
static bool is_at_work;

REPLACED(bool, hooks_are_under_way)(struct supervisor *sup, const struct service *service)
{
	(void)sup;
	(void)service;
	return is_at_work;
}

ROOM_HEARS("news", "instance")

/* Processes that went to the background, and the last signal to them. */
static unsigned strays;
static int stray_signal;

REPLACED(unsigned, strays_signal)(struct supervisor *sup, int signal)
{
	(void)sup;
	if (signal != 0)
		stray_signal = signal;
	return strays;
}

/* So often they were killed, with all that they have forked meanwhile. */
static unsigned stray_kills;

REPLACED(unsigned, strays_kill)(struct supervisor *sup)
{
	stray_kills++;
	return strays_signal(sup, SIGKILL);
}

static struct service *web;
static struct service *job;

static void begin(void)
{
	is_at_work = false;
	strays = 0;
	stray_signal = 0;
	stray_kills = 0;
	room_begin(TWO);
	web = room_cluster("web");
	job = room_cluster("job");
	room_tick(web);
	room_tick(job);
}

static struct cluster_settings *cluster_settings_of(struct service *s)
{
	return (struct cluster_settings *)(uintptr_t)cluster_settings(s->core);
}

static void all_end(void)
{
	room_exits(room_child(web, 0), 0);
	room_exits(room_child(job, 0), 0);
}

static bool is_over(void)
{
	lifecycle_look(&room);
	return room.instance.over;
}

FIXTURE(begin, room_end)

TEST(it_is_started_when_all_clusters_are_ready)
{
	room_tell(room_child(web, 0), EVENT_READY);
	lifecycle_look(&room);
	ck_assert(!room.instance.ready_once);
	room_tell(room_child(job, 0), EVENT_READY);
	lifecycle_look(&room);
	ck_assert(room.instance.ready_once);
}

TEST(clusters_that_have_left_leave_no_gap)
{
	web->stage.leaving = true;
	service_stop(web, false);
	ck_assert(!is_over());
	ck_assert_uint_eq(room.service_count, 2);
	room_exits(room_child(web, 0), 0);
	ck_assert(!is_over());
	ck_assert_uint_eq(room.service_count, 1);
	ck_assert_ptr_eq(room.services[0], job);
	ck_assert_uint_eq(job->index, 0);
}

TEST(it_waits_for_a_room_that_is_at_work)
{
	is_at_work = true;
	lifecycle_stop(&room, false);
	all_end();
	ck_assert(!is_over());
	is_at_work = false;
	ck_assert(is_over());
}

TEST(what_went_to_the_background_is_asked_and_then_killed)
{
	strays = 2;
	lifecycle_stop(&room, false);
	all_end();
	ck_assert(!is_over());
	ck_assert_int_eq(stray_signal, SIGTERM);
	room_pass(1900 * MSEC);
	ck_assert_int_eq(stray_signal, SIGTERM);
	room_pass(200 * MSEC);
	ck_assert_int_eq(stray_signal, SIGKILL);
	strays = 0;
	ck_assert(is_over());
}

TEST(what_cannot_be_caught_is_hunted_for_a_second)
{
	strays = 1;
	lifecycle_stop(&room, false);
	all_end();
	ck_assert(!is_over());
	room_pass(2100 * MSEC);
	for (unsigned i = 0; i < 5; i++)
		room_pass(31 * MSEC);
	ck_assert(!is_over());
	ck_assert_uint_gt(stray_kills, 3);
	for (unsigned i = 0; i < 30; i++)
		room_pass(31 * MSEC);
	ck_assert(is_over());
}

TEST(a_cluster_that_gave_up_is_told_by_the_status)
{
	room_tell(room_child(job, 0), EVENT_READY);
	for (int i = 0; i < 10 && !web->stage.ended; i++) {
		if (service_counts(web).alive > 0)
			room_exits(room_child(web, 0), 3);
		room_pass(5 * SECOND);
	}
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_FAILED);
	ck_assert(!is_over()); /* the other one goes on */
	lifecycle_stop(&room, false);
	room_exits(room_child(job, 0), 0);
	ck_assert(is_over());
	ck_assert_int_eq(room.instance.status, 1);
}

/* The same two, and `web` is essential. */
static void begin_essential(void)
{
	cluster_settings_of(web)->essential = true;
	room_tell(room_child(job, 0), EVENT_READY);
}

TEST(an_essential_cluster_ends_all_with_its_status)
{
	pid_t pid = room_child(job, 0)->pid;

	begin_essential();
	cluster_settings_of(web)->restart = RESTART_NEVER;
	room_exits(room_child(web, 0), 7);
	ck_assert(room.instance.stopping);
	ck_assert_uint_eq(room_signalled(pid, SIGTERM), 1);
	ck_assert_uint_eq(room_signalled(pid, SIGKILL), 0);
	ck_assert(!is_over());
	room_exits(room_child(job, 0), 0);
	ck_assert(is_over());
	ck_assert_int_eq(room.instance.status, 7);
}

TEST_LOOP(an_essential_cluster_that_is_stopped_or_removed_ends_nothing_else, 0, 2)
{
	begin_essential();
	web->stage.leaving = _i == 1;
	service_stop(web, false);
	room_exits(room_child(web, 0), 7);
	ck_assert(web->stage.ended || _i == 1);
	ck_assert(!room.instance.stopping);
}

TEST(a_command_that_is_not_there_is_the_end_of_a_start)
{
	room_fail_spawns(ENOENT);
	room_exits(room_child(web, 0), 1);
	room_pass(10 * SECOND);
	ck_assert(room.instance.stopping);
	room_exits(room_child(job, 0), 0);
	ck_assert(is_over());
	ck_assert_int_eq(room.instance.status, 127);
}

TEST(it_does_not_end_before_all_is_told)
{
	struct news *n = calloc(1, sizeof(*n));

	ck_assert_ptr_nonnull(n);
	n->serial = 1;
	n->patience = NSEC_NEVER;
	lifecycle_stop(&room, false);
	room_exits(room_child(web, 0), 0);
	room.news.head = room.news.tail = n;
	room_exits(room_child(job, 0), 0);
	ck_assert(!is_over());
	news_stop_waiting(&room);
	ck_assert(is_over());
}
