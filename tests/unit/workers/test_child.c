/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "base/error.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/leader/leader.h"
#include "supervisor/limits/limits.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>

/*
 * A worker's life: births, deaths and signals, and which rooms hear of them, when,
 * and in which order.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"stop-timeout = 5s\ndrain = off\n"

/* ---- rooms that note what they hear ---- */

static char heard[4096];
static bool refuses;  /* leader, that a worker is born */
static bool takes_it; /* intercept, that a worker is to be stopped */
static struct child *last;
static unsigned alive_when_gone;

static void note(const char *room_name, const char *hook)
{
	size_t used = strlen(heard);

	snprintf(
		heard + used, sizeof(heard) - used, "%s%s%s", used > 0 ? " " : "", room_name, hook);
}

REPLACED(int, limits_on_prepare)(struct child *child, struct birth *birth, struct error *err)
{
	(void)child;
	(void)birth;
	(void)err;
	note("limits", ".prepare");
	return 0;
}

REPLACED(int, leader_on_prepare)(struct child *child, struct birth *birth, struct error *err)
{
	(void)child;
	(void)birth;
	note("leader", ".prepare");
	return refuses ? error_set(err, ENOSPC, "no room") : 0;
}

REPLACED(void, limits_on_born)(struct child *child, struct birth *birth)
{
	(void)birth;
	ck_assert_ptr_eq(child_by_pid(&room, child->pid), child);
	last = child;
	note("limits", ".born");
}

REPLACED(bool, intercept_on_stop)(struct child *child, int signal)
{
	(void)child;
	(void)signal;
	note("intercept", ".stop");
	return takes_it;
}

/* Its number is still its own, and it is where it was. */
REPLACED(void, limits_on_dying)(struct child *child)
{
	ck_assert_ptr_eq(child_by_pid(&room, child->pid), child);
	note("limits", ".dying");
}

/* The core has not heard yet. */
REPLACED(void, limits_on_gone)(struct child *child)
{
	alive_when_gone = service_counts(child->service).alive;
	note("limits", ".gone");
}

REPLACED(void, leader_on_gone)(struct child *child)
{
	ck_assert_ptr_null(child_by_pid(&room, child->pid));
	ck_assert_ptr_null(child_find(child->service, child->slot, child->worker));
	note("leader", ".gone");
}

ROOM_HEARS("news")

/* ---- */

static struct service *web;

static void begin(void)
{
	refuses = takes_it = false;
	web = room_web(WEB);
	heard[0] = '\0';
}

FIXTURE(begin, room_end)

TEST(who_dies_is_replaced_in_its_slot)
{
	struct child *c = room_child(web, 1);
	uint64_t serial = c->serial;
	pid_t pid = c->pid;

	room_tell(c, EVENT_READY);
	room_pass(10 * SECOND);
	room_killed(c, SIGSEGV);
	ck_assert_ptr_null(child_by_pid(&room, pid));
	ck_assert_ptr_null(child_by_serial(&room, serial));
	room_tick(web);
	ck_assert_uint_eq(room_spawned(), 3);
	ck_assert_uint_ne(room_child(web, 1)->serial, serial);
	ck_assert(room_logged("killed by SIGSEGV"));
}

TEST(a_death_is_told_in_order_and_given_back_backwards)
{
	room_exits(room_child(web, 0), 1);
	ck_assert_str_eq(heard, "limits.dying leader.gone limits.gone");
	ck_assert_uint_eq(alive_when_gone, 2);
	ck_assert_uint_eq(service_counts(web).alive, 1);
}

TEST(a_birth_is_told_in_order)
{
	room_exits(room_child(web, 0), 1);
	heard[0] = '\0';
	room_pass(SECOND);
	ck_assert_str_eq(heard, "limits.prepare leader.prepare limits.born");
	ck_assert_ptr_eq(last, room_child(web, 0));
}

TEST(a_room_that_refuses_a_birth_is_the_reason_that_is_told)
{
	refuses = true;
	room_exits(room_child(web, 0), 1);
	heard[0] = '\0';
	room_pass(150 * MSEC);
	ck_assert_str_eq(heard, "limits.prepare leader.prepare leader.gone limits.gone");
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert(room_logged("no room: No space left on device"));
	refuses = false;
	room_pass(60 * SECOND);
	ck_assert_uint_eq(service_counts(web).alive, 2);
}

TEST(the_first_room_that_takes_a_stop_has_it_alone)
{
	pid_t pid = room_child(web, 0)->pid;

	takes_it = true;
	room_tell(room_child(web, 0), EVENT_READY);
	service_stop(web, false);
	ck_assert_ptr_nonnull(strstr(heard, "intercept.stop"));
	ck_assert_uint_eq(room_signalled(pid, SIGTERM), 0);
}

TEST(who_stops_gets_the_stop_signal_and_then_kill)
{
	pid_t pid = room_child(web, 0)->pid;

	room_tell(room_child(web, 0), EVENT_READY);
	service_stop(web, false);
	ck_assert_uint_eq(room_signalled(pid, SIGTERM), 1);
	room_pass(4 * SECOND);
	ck_assert_uint_eq(room_signalled(pid, SIGKILL), 0);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(room_signalled(pid, SIGKILL), 1);
	ck_assert(room_child(web, 0)->life.killed_by_us);
}
