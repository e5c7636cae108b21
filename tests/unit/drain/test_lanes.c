/* SPDX-License-Identifier: MIT */
#include "lanes_lib.h"

#include "supervisor/sockets/group.h"

/*
 * Two workers that have one listener, and all that may happen to them, in any order.
 * Which socket a worker got at its birth is known here: its lane must say the same as
 * long as it lives, and that socket must not be closed.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\nlisten = " \
	"127.0.0.1:0\ndrain = quiet\ndrain-timeout = 60s\nbake = 0s\nbalance = "
#define STEPS 3

static const char *story;

/* What each worker has got, by its serial. */
static uint64_t inodes[512];

static uint64_t inode_of(const struct child *child)
{
	return l->sockets != NULL ? group_socket(l, child->traffic.lane)->inode : l->inode;
}

static void check_all(void)
{
	const struct child *c;

	for_each_child (c, children_of(web)) {
		ck_assert_uint_lt(c->serial, COUNT_OF(inodes));
		if (inodes[c->serial] == 0)
			inodes[c->serial] = inode_of(c);
		ck_assert_msg(inodes[c->serial] == inode_of(c), "%s: %u.%u has another socket",
			story, c->slot, c->generation);
	}
}

/* What waits for the worker happens.  False: nothing does. */
static bool go_on(struct child *child)
{
	switch (child_view(child).state) {
	case SLOT_STARTING:
		room_tell(child, EVENT_READY);
		return true;
	case SLOT_DRAINING:
		room_tell(child, EVENT_DRAINED);
		return true;
	case SLOT_STOPPING:
		room_exits(child, 0);
		return true;
	default:
		return false;
	}
}

/* Until all are ready, and nobody else is there. */
static void settle(void)
{
	for (int i = 0; i < 100; i++) {
		bool goes_on = false;

		for (uint32_t slot = 0; slot < web->child_slots; slot++)
			for (int k = 0; k < 2; k++) {
				goes_on |= web->children[slot][k] != NULL &&
					go_on(web->children[slot][k]);
				room_tick(web);
				check_all();
			}
		if (!goes_on && cluster_is_settled(web->core) &&
			!cluster_view_rollout(web->core).under_way)
			return;
		if (!goes_on)
			room_pass(100 * MSEC);
	}
	ck_abort_msg("%s: it goes on and on", story);
}

/* ---- what may happen ---- */

static void restart_slot(void)
{
	const struct event roll = {.slot = 0};
	struct error err;

	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
}

/* The first new one dies. */
static void restart_in_vain(void)
{
	unsigned before = cluster_generation(web->core);

	restart();
	for (uint32_t slot = 0; slot < web->child_slots; slot++)
		if (room_child(web, slot)->generation > before) {
			room_killed(room_child(web, slot), SIGSEGV);
			return;
		}
}

static void one_dies(void)
{
	room_killed(room_child(web, 1), SIGSEGV);
}

/* All that is kept are the lanes of workers and sockets. */
static void upgrade(void)
{
	steer_on_drop(web);
	web->traffic.steer = (struct steer){.service = NULL};
	steer_on_adopted(web);
}

static void wait_long(void)
{
	room_pass(SECOND);
}

static const struct {
	char letter;
	void (*happens)(void);
} kinds[] = {
	{'R', restart},
	{'F', restart_in_vain},
	{'S', restart_slot},
	{'D', one_dies},
	{'U', upgrade},
	{'W', wait_long},
};

static void tell(const char *ini, const char *letters)
{
	story = letters;
	stubborn = true;
	memset(inodes, 0, sizeof(inodes));
	begin_lanes(ini, 2);
	check_all();
	for (; *letters != '\0'; letters++) {
		for (unsigned i = 0; i < COUNT_OF(kinds); i++)
			if (kinds[i].letter == *letters)
				kinds[i].happens();
		check_all();
		settle();
	}
}

static void tell_all(const char *ini)
{
	char letters[STEPS + 1] = "";
	unsigned all = 1;

	for (unsigned i = 0; i < STEPS; i++)
		all *= COUNT_OF(kinds);
	for (unsigned number = 0; number < all; number++) {
		unsigned rest = number;

		for (unsigned i = 0; i < STEPS; i++, rest /= COUNT_OF(kinds))
			letters[i] = kinds[rest % COUNT_OF(kinds)].letter;
		tell(ini, letters);
		if (number + 1 < all)
			room_end();
	}
}

/* The socket in use was shut down by the second restart. */
TEST(a_restart_before_and_after_an_upgrade)
{
	tell(WEB "share\n", "RWURWRURWRWURWURW");
}

TEST(whatever_happens_each_has_the_socket_of_its_lane)
{
	tell_all(WEB "share\n");
}

TEST(so_it_is_where_each_slot_has_its_own)
{
	tell_all(WEB "rr\n");
}

TEST_LOOP(in_the_end_as_many_sockets_are_left_as_at_first, 0, 2)
{
	tell(_i == 0 ? WEB "share\n" : WEB "rr\n", "RURUFSDRW");
	ck_assert_uint_eq(group_size(l), (_i == 0 ? 1 : 2));
}
