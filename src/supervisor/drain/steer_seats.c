/* SPDX-License-Identifier: MIT */
#include "supervisor/common/part.h"
#include "supervisor/drain/steer_lanes.h"
#include "supervisor/sockets/holding.h"
#include "supervisor/workers/recipe.h"

/*
 * A lane for each slot, so that the kernel can spread connections over workers
 * (`balance`).  nclust holds the sockets: what waits for a worker that has died
 * waits for the next one in its slot, which gets the same.
 *
 * A worker that is looked at until it is quiet keeps its socket for itself, to
 * empty its queue, and a spare that listens (trap.aside), to get no client; its
 * successor gets another one.  Of any other worker the
 * successor has the same, so that somebody takes what it leaves.
 */

/* One that no seat has: of workers that are gone, or of those that share it, if
 * they leave it to us. */
static struct lane *find_free(struct steer *s, bool keeps)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct lane *lane = &s->lanes[i];

		if (lane->seated ? lane->workers == 0 && lane->seat >= s->seats
				 : lane->workers == 0 || !keeps)
			return lane;
	}
	return NULL;
}

static struct lane *open_another(struct steer *s)
{
	unsigned id = steer_new_lane(s);

	if (id == 0)
		return NULL;
	steer_add_lane(s, id);
	return steer_find_lane(s, id);
}

static void open_all(struct steer *s, const struct recipe *r, unsigned lane)
{
	bool opened = false;

	for (size_t i = 0; r != NULL && i < r->listeners.count; i++)
		opened |= steer_open_own(s, r->listeners.list[i], lane, false);
	/* the state file must have the sockets before a worker does */
	if (opened)
		PARTS(write_down, s->service->sup);
}

/* The worker that will have the lane may open other ports than those before. */
static void forget_bound(const struct steer *s, unsigned lane)
{
	struct listener *l;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		struct listener_socket *k = group_own(l, lane);

		if (k != NULL)
			k->bound = false;
	}
}

unsigned steer_take_seat(struct steer *s, unsigned generation, uint32_t slot)
{
	const struct child *old = steer_find_old(s->service, slot);
	bool keeps = old != NULL &&
		(old->trap.aside ||
			(generation != old->generation &&
				cluster_view_rollout(s->service->core).old_alone) ||
			cluster_empties(s->service->core, old->generation));
	unsigned seat = slot % SEATS_MAX;
	struct lane *lane;

	steer_drop_lanes(s);
	lane = steer_seat(s, seat);
	if (lane == NULL || (keeps && lane->workers > 0))
		lane = find_free(s, keeps);
	if (lane == NULL)
		lane = open_another(s);
	if (lane == NULL) /* there is no room for it */
		lane = steer_seat(s, seat);
	if (lane == NULL)
		return s->lanes[0].id;
	if (!lane->seated || lane->seat != seat)
		forget_bound(s, lane->id);
	lane->seated = true;
	lane->seat = seat;
	open_all(s, recipe_of(s->service, generation), lane->id);
	return lane->id;
}

void steer_on_listens(struct child *child)
{
	struct steer *s = child->service->traffic.steer;

	if (s != NULL && child->traffic.in_lane && child->traffic.takes)
		steer_look_next_turn(s); /* it is ready already */
}

void steer_on_provide(struct child *child, struct listener *l, bool own)
{
	struct steer *s = child->service->traffic.steer;
	const struct lane *lane = s != NULL && child->traffic.in_lane
		? steer_find_lane(s, child->traffic.lane)
		: NULL;

	struct listener_socket *k;

	steer_on_listens(child); /* it may have listened before */
	if (lane == NULL || !lane->seated)
		return;
	(void)steer_open_own(s, l, child->traffic.lane, own);
	k = group_own(l, child->traffic.lane);
	if (k == NULL || k->bound)
		return;
	k->bound = true;
	PARTS(write_down, s->service->sup);
	steer_share_out(s, l, false);
}

void steer_on_aside(struct child *child, struct listener *l)
{
	const struct steer *s = child->service->traffic.steer;

	/* its share may be of a time when nobody was ready */
	if (s != NULL)
		steer_share_out(s, l, false);
}

void steer_leave_seat(struct steer *s, unsigned lane)
{
	const struct lane *left = steer_find_lane(s, lane);
	struct listener *l;

	if (left == NULL || !left->seated || left->workers > 0 ||
		cluster_ready(s->service->core) == 0)
		return;
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		struct listener_socket *k = group_own(l, lane);

		if (k != NULL && k->weight == 0 && group_has_queue(l, k))
			group_rescue(l, k);
	}
}
