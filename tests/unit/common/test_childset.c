/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/common/registry.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* What is heard of workers, and when. */

static struct child *child;
static int fd;
static unsigned heard[CHILD_FDS];

static void hear_notify(struct child *of)
{
	ck_assert_ptr_eq(of, child);
	heard[CHILD_NOTIFY]++;
}

static void hear_trap(struct child *of)
{
	ck_assert_ptr_eq(of, child);
	heard[CHILD_TRAP]++;
}

ROOM_HEARS(NULL)

static void begin(void)
{
	room_begin("[cluster:web]\ncommand = /bin/web\nworkers = 1\n");
	room.childset.hear[CHILD_NOTIFY] = hear_notify;
	room.childset.hear[CHILD_TRAP] = hear_trap;
	room_tick(room_cluster("web"));
	child = room_child(room_cluster("web"), 0);
	fd = eventfd(1, EFD_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	memset(heard, 0, sizeof(heard));
}

static void end(void)
{
	room_end();
	(void)close(fd);
}

FIXTURE(begin, end)

TEST(what_is_left_unread_is_heard_again)
{
	ck_assert_int_eq(childset_add(child, CHILD_NOTIFY, fd), 0);
	room_pass(10 * MSEC);
	ck_assert_uint_gt(heard[CHILD_NOTIFY], 1);
	ck_assert_uint_eq(heard[CHILD_TRAP], 0);
}

TEST(a_trap_is_heard_once_each_time_it_is_added)
{
	ck_assert_int_eq(childset_add(child, CHILD_TRAP, fd), 0);
	room_pass(10 * MSEC);
	ck_assert_uint_eq(heard[CHILD_TRAP], 1);
	ck_assert_int_eq(childset_add(child, CHILD_TRAP, fd), 0);
	room_pass(10 * MSEC);
	ck_assert_uint_eq(heard[CHILD_TRAP], 2);
}

TEST(what_was_removed_is_not_heard)
{
	ck_assert_int_eq(childset_add(child, CHILD_NOTIFY, fd), 0);
	childset_remove(child, fd);
	room_pass(10 * MSEC);
	ck_assert_uint_eq(heard[CHILD_NOTIFY], 0);
}

/* As libev says that epoll_ctl(2) has failed. */
static void cannot_watch(void)
{
	ev_io_stop(room.loop, &room.childset.wake);
	ev_feed_event(room.loop, &room.childset.wake, EV_ERROR);
	room_pass(0);
}

TEST(it_is_watched_anew_when_that_has_failed)
{
	cannot_watch();
	ck_assert_int_eq(childset_add(child, CHILD_NOTIFY, fd), 0);
	for (int i = 0; i < 500 && heard[CHILD_NOTIFY] == 0; i++)
		room_pass(10 * MSEC);
	ck_assert_uint_gt(heard[CHILD_NOTIFY], 0);
	ck_assert_int_eq(room.childset.again.pause, 0);
}

TEST(while_it_fails_the_tries_become_rare)
{
	nsec_t pause = 0;

	for (int i = 0; i < 20; i++) {
		cannot_watch();
		ck_assert_int_gt(room.childset.again.pause, 0);
		ck_assert_int_ge(room.childset.again.pause, pause);
		pause = room.childset.again.pause;
	}
	ck_assert_int_ge(pause, SECOND);
}
