/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/drain/steer_lanes.h"
#include "supervisor/sockets/group.h"

#include <stdlib.h>

/*
 * Two workers that have one listener, and all that may happen to them, in any order.
 * Here the sockets that workers really have are known: each that lives must have the
 * one that its lane says, and that one must not be closed.
 */
#define WORKERS 2
#define SOCKETS 32
#define STEPS 5

struct life {
	unsigned generation;
	unsigned lane;
	const struct listener_socket *has;
};

static struct steer s;
static bool steered; /* else nothing is known of lanes */
static struct listener l;
static struct listener_socket sockets[SOCKETS]; /* the first is l.fd */
static unsigned opened;
static struct life worker[WORKERS];
static unsigned in_force;
static unsigned last; /* generation */
static const char *story;

static struct listener_socket *socket_for(unsigned lane)
{
	return l.sockets != NULL ? group_socket(&l, lane) : &sockets[0];
}

static unsigned open_sockets(void)
{
	unsigned count = 0;

	for (const struct listener_socket *k = l.sockets; k != NULL; k = k->next)
		count++;
	return count;
}

static void count_workers(void)
{
	for (unsigned i = 0; i < s.count; i++)
		s.lanes[i].workers = s.lanes[i].ready = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct lane *lane = steer_find_lane(&s, worker[i].lane);

		if (lane != NULL)
			lane->ready = ++lane->workers;
	}
}

static void check_all(void)
{
	if (steered)
		count_workers();
	for (unsigned i = 0; i < WORKERS; i++) {
		ck_assert_msg(
			!worker[i].has->settled, "%s: worker %u has a closed socket", story, i);
		ck_assert_msg(socket_for(worker[i].lane) == worker[i].has,
			"%s: worker %u has another socket than lane %u", story, i, worker[i].lane);
	}
}

static void start(unsigned i, unsigned generation, unsigned lane)
{
	worker[i] = (struct life){generation, lane, socket_for(lane)};
	check_all();
}

/* As steer_begin_anew(). */
static void begin(void)
{
	s = (struct steer){.count = 0};
	steered = true;
	for (unsigned i = 0; i < WORKERS; i++)
		steer_add_lane(&s, worker[i].lane);
	for (const struct listener_socket *k = l.sockets; k != NULL; k = k->next)
		steer_add_lane(&s, k->lane);
	for (unsigned g = 0; g <= last; g++)
		for (unsigned i = 0; i < WORKERS; i++)
			if (worker[i].generation == g)
				steer_map_found(&s, g, worker[i].lane);
	count_workers();
}

static void push(unsigned at, unsigned lane)
{
	sockets[at] = (struct listener_socket){.lane = lane, .next = l.sockets};
	l.sockets = &sockets[at];
}

static unsigned open_lane(void)
{
	unsigned lane = steer_new_lane(&s);

	if (lane == 0 || open_sockets() == LANES_MAX)
		return 0;
	for (const struct listener_socket *k = l.sockets; k != NULL; k = k->next)
		ck_assert_uint_ne(k->lane, lane);
	if (l.sockets == NULL)
		push(0, 0);
	push(++opened, lane);
	steer_add_lane(&s, lane);
	return lane;
}

static void drop(unsigned next)
{
	unsigned kept = 0;

	steer_forget_before(&s, in_force);
	for (unsigned i = 0; i < s.count; i++)
		if (steer_is_live(&s, &s.lanes[i], in_force, next))
			s.lanes[kept++] = s.lanes[i];
	s.count = kept;
}

/* ---- what may happen ---- */

static void begin_rollout(bool opens)
{
	unsigned home;
	unsigned lane = 0;

	if (!steered && opens)
		begin();
	last++;
	if (!steered)
		return;
	home = steer_lane_of(&s, in_force);
	drop(in_force);
	if (opens)
		lane = open_lane();
	steer_map(&s, last, lane != 0 ? lane : home);
}

static void restart(void)
{
	begin_rollout(true);
	for (unsigned i = 0; i < WORKERS; i++)
		start(i, last, steer_lane_of(&s, last));
	in_force = last;
}

/* The first new one dies, and an old one takes its place. */
static void restart_that_fails(void)
{
	begin_rollout(true);
	start(0, last, steer_lane_of(&s, last));
	start(0, in_force, steer_lane_of(&s, in_force));
}

static void restart_slot(void)
{
	unsigned lane;

	begin_rollout(false);
	if (!steered)
		begin();
	lane = steer_lane_of(&s, last);
	for (unsigned i = 0; i < s.count && lane == worker[0].lane; i++)
		if (s.lanes[i].workers > 0)
			lane = s.lanes[i].id;
	if (lane == worker[0].lane)
		lane = open_lane();
	start(0, last, lane != 0 ? lane : worker[0].lane);
	in_force = last;
}

static void one_dies(void)
{
	start(1, worker[1].generation, steered ? steer_lane_of(&s, worker[1].generation) : 0);
}

/* All that is kept are the lanes of workers and sockets. */
static void upgrade(void)
{
	steered = false;
	s = (struct steer){.count = 0};
	if (open_sockets() > 1)
		begin();
}

static void close_old(void)
{
	struct listener_socket **at = &l.sockets;

	if (!steered)
		return;
	steer_move_home(&s, steer_lane_of(&s, in_force));
	drop(in_force);
	while (*at != NULL)
		if (open_sockets() > 1 && !steer_is_needed(&s, &l, *at, in_force, in_force)) {
			(*at)->settled = true; /* closed, here */
			*at = (*at)->next;
		} else {
			at = &(*at)->next;
		}
}

static const struct {
	char letter;
	void (*happens)(void);
} kinds[] = {
	{'R', restart},
	{'F', restart_that_fails},
	{'S', restart_slot},
	{'D', one_dies},
	{'U', upgrade},
	{'C', close_old},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void begin_world(void)
{
	l = (struct listener){.fd = -1};
	sockets[0] = (struct listener_socket){.lane = 0};
	steered = false;
	opened = 0;
	in_force = last = 1;
	for (unsigned i = 0; i < WORKERS; i++)
		worker[i] = (struct life){1, 0, &sockets[0]};
}

static void happen(char letter)
{
	for (unsigned i = 0; i < KINDS; i++)
		if (kinds[i].letter == letter)
			kinds[i].happens();
	check_all();
}

static void tell(const char *letters)
{
	story = letters;
	begin_world();
	for (; *letters != '\0'; letters++)
		happen(*letters);
}

/* The socket in use was shut down by the second restart. */
TEST(a_restart_before_and_after_an_upgrade)
{
	tell("RCURC");
	tell("RURC");
	tell("RCURCURC");
}

TEST(whatever_happens_each_has_the_socket_of_its_lane)
{
	char letters[STEPS + 1] = "";
	unsigned all = 1;

	for (unsigned i = 0; i < STEPS; i++)
		all *= KINDS;
	for (unsigned number = 0; number < all; number++) {
		unsigned rest = number;

		for (unsigned i = 0; i < STEPS; i++, rest /= KINDS)
			letters[i] = kinds[rest % KINDS].letter;
		tell(letters);
	}
}

TEST(in_the_end_one_socket_is_left)
{
	tell("RC");
	ck_assert_uint_eq(open_sockets(), 1);
	tell("RURUC");
	ck_assert_uint_eq(open_sockets(), 1);
	tell("FC");
	ck_assert_uint_eq(open_sockets(), 1);
}
