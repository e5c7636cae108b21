/* SPDX-License-Identifier: MIT */
#include "lanes_lib.h"

#include "supervisor/sockets/group.h"

/*
 * A socket for each worker (`balance = rr`): who has which, over deaths, rollouts
 * and changes of the number of workers.  The sockets are real.
 */
#define WEB(way, drain) \
	"[cluster:web]\ncommand = /bin/web\nworkers = 3\nready = notify\n" \
	"listen = 127.0.0.1:0\ndrain-timeout = 60s\nbalance = " way "\ndrain = " drain "\n"

static void begin(const char *ini)
{
	begin_lanes(ini, 3);
}

static int fd_of(uint32_t slot)
{
	return group_fd(l, room_child(web, slot)->traffic.lane);
}

/* Shares are set in a turn after what changes them. */
static unsigned share(uint32_t slot)
{
	room_pass(MSEC);
	return group_socket(l, room_child(web, slot)->traffic.lane)->weight;
}

/* All slots have their own, and each one's share is one. */
static void check_own(void)
{
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(share(i), 1);
		for (uint32_t k = 0; k < i; k++)
			ck_assert_int_ne(fd_of(i), fd_of(k));
	}
}

static struct child *old_of(uint32_t slot)
{
	for (int k = 0; k < 2; k++) {
		struct child *c = web->children[slot][k];

		if (c != NULL && c != room_child(web, slot))
			return c;
	}
	return NULL;
}

TEST(the_successor_has_that_of_who_died)
{
	int fd;

	begin(WEB("rr", "quiet"));
	fd = fd_of(1);
	room_killed(room_child(web, 1), SIGSEGV);
	room_pass(SECOND);
	ck_assert_int_eq(fd_of(1), fd);
	ck_assert_uint_eq(share(1), 0); /* it is not ready */
	ck_assert_uint_eq(share(0), 1);
	room_tell(room_child(web, 1), EVENT_READY);
	room_pass(MSEC);
	check_own();
}

TEST(if_nobody_is_ready_all_have_a_share_until_one_is)
{
	begin(WEB("rr", "quiet"));
	for (uint32_t slot = 0; slot < 3; slot++)
		room_killed(room_child(web, slot), SIGSEGV);
	room_pass(MSEC);
	for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		ck_assert_uint_eq(k->weight, 1);
	room_pass(SECOND);
	room_tell(room_child(web, 1), EVENT_READY);
	/* a client that comes now must not wait for one that only starts */
	for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		ck_assert_uint_eq(k->weight, k->fd == fd_of(1));
}

TEST(one_that_is_emptied_keeps_its_own_to_the_end)
{
	begin(WEB("rr", "quiet"));
	restart();
	for (uint32_t slot = 0; slot < 3; slot++) {
		struct child *old;

		ck_assert_uint_eq(share(slot), 0);
		room_tell(room_child(web, slot), EVENT_READY);
		old = old_of(slot);
		ck_assert_ptr_nonnull(old);
		ck_assert_uint_eq(share(slot), 1);
		ck_assert_int_ne(group_fd(l, old->traffic.lane), fd_of(slot));
		ck_assert_uint_eq(group_socket(l, old->traffic.lane)->weight, 0);
		room_tell(old, EVENT_DRAINED);
		room_exits(old, 0);
		room_tick(web);
	}
	room_pass(SECOND);
	ck_assert_uint_eq(group_size(l), 3);
	check_own();
}

TEST(one_that_ends_at_once_leaves_it_to_its_successor)
{
	int fds[3];

	begin(WEB("rr", "signal"));
	for (uint32_t slot = 0; slot < 3; slot++)
		fds[slot] = fd_of(slot);
	restart();
	for (uint32_t slot = 0; slot < 3; slot++) {
		struct child *old;

		room_tell(room_child(web, slot), EVENT_READY);
		old = old_of(slot);
		ck_assert_ptr_nonnull(old);
		room_exits(old, 0);
		room_tick(web);
		ck_assert_int_eq(fd_of(slot), fds[slot]);
	}
	check_own();
}

TEST(others_share_one)
{
	begin(WEB("share", "quiet"));
	ck_assert_uint_eq(group_size(l), 1);
	ck_assert_int_eq(fd_of(0), fd_of(2));
}
