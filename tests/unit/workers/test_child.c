/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <errno.h>

/* A worker's life: births, deaths and signals. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"stop-timeout = 5s\ndrain = off\n"

static struct service *web;

static void begin(void)
{
	room_begin(WEB);
	web = room_cluster("web");
	room_tick(web);
}

START_TEST(each_slot_gets_a_worker)
{
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert_ptr_eq(room_child(web, 0),
		child_by_pid(&room, room_child(web, 0)->pid));
	ck_assert_uint_ne(
		room_child(web, 0)->serial, room_child(web, 1)->serial);
}
END_TEST

START_TEST(who_dies_is_replaced_in_its_slot)
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
END_TEST

START_TEST(what_is_left_of_its_group_is_killed_with_it)
{
	pid_t pid = room_child(web, 0)->pid;

	room_exits(room_child(web, 0), 1);
	/* by the group: its own process had ended, and was not signalled */
	ck_assert(room_group_killed(pid));
}
END_TEST

START_TEST(who_stops_gets_the_stop_signal_and_then_kill)
{
	pid_t pid = room_child(web, 0)->pid;

	room_tell(room_child(web, 0), EVENT_READY);
	service_stop(web, false);
	ck_assert_uint_eq(room_signalled(pid, SIGTERM), 1);
	room_pass(4 * SECOND);
	ck_assert_uint_eq(room_signalled(pid, SIGKILL), 0);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(room_signalled(pid, SIGKILL), 1);
	ck_assert(room_child(web, 0)->killed_by_us);
}
END_TEST

START_TEST(what_cannot_be_executed_leaves_nothing_behind)
{
	room_fail_spawns(EAGAIN);
	room_exits(room_child(web, 0), 1);
	room_pass(SECOND);
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert_uint_eq(service_alive(web), 1);
	ck_assert(room_logged("Resource temporarily unavailable"));
	room_fail_spawns(0);
	room_pass(10 * SECOND);
	ck_assert_uint_eq(room_spawned(), 3);
	ck_assert_uint_eq(service_alive(web), 2);
}
END_TEST

static void add(TCase *all)
{
	tcase_add_checked_fixture(all, begin, room_end);
	tcase_add_test(all, each_slot_gets_a_worker);
	tcase_add_test(all, who_dies_is_replaced_in_its_slot);
	tcase_add_test(all, what_is_left_of_its_group_is_killed_with_it);
	tcase_add_test(all, who_stops_gets_the_stop_signal_and_then_kill);
	tcase_add_test(all, what_cannot_be_executed_leaves_nothing_behind);
}

int main(void)
{
	return room_run("workers/child", add);
}
