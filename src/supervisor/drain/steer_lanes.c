/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/steer_lanes.h"

#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/recipe.h"

#include <string.h>

struct lane *steer_find_lane(struct steer *s, unsigned id)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].id == id)
			return &s->lanes[i];
	return NULL;
}

void steer_add_lane(struct steer *s, unsigned id)
{
	if (s->last_id < id)
		s->last_id = id;
	if (steer_find_lane(s, id) == NULL && s->count < LANES_MAX)
		s->lanes[s->count++] = (struct lane){.id = id};
}

unsigned steer_new_lane(const struct steer *s)
{
	return s->count < LANES_MAX && s->mapping_count < MAPPINGS_MAX ? s->last_id + 1 : 0;
}

unsigned steer_lane_of(const struct steer *s, unsigned generation)
{
	unsigned lane = s->mappings[0].lane;

	for (unsigned i = 1; i < s->mapping_count; i++)
		if (s->mappings[i].generation <= generation)
			lane = s->mappings[i].lane;
	return lane;
}

void steer_map(struct steer *s, unsigned generation, unsigned lane)
{
	if (s->mapping_count < MAPPINGS_MAX)
		s->mappings[s->mapping_count++] = (struct mapping){generation, lane};
}

void steer_map_found(struct steer *s, unsigned generation, unsigned lane)
{
	const struct mapping *last =
		s->mapping_count > 0 ? &s->mappings[s->mapping_count - 1] : NULL;

	if (last == NULL || (last->generation != generation && last->lane != lane))
		steer_map(s, generation, lane);
}

void steer_move_home(struct steer *s, unsigned home)
{
	const struct lane *lane = steer_find_lane(s, home);
	const struct lane *other = NULL;

	if (lane != NULL && lane->workers > 0)
		return;
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].ready > 0)
			other = &s->lanes[i];
	for (unsigned i = 0; other != NULL && i < s->mapping_count; i++)
		if (s->mappings[i].lane == home)
			s->mappings[i].lane = other->id;
}

void steer_forget_before(struct steer *s, unsigned in_force)
{
	while (s->mapping_count > 1 && s->mappings[1].generation <= in_force) {
		s->mapping_count--;
		memmove(&s->mappings[0], &s->mappings[1],
			s->mapping_count * sizeof(s->mappings[0]));
	}
}

/* Returns the newest lane of that seat; NULL: the seat has none. */
static struct lane *steer_seat(struct steer *s, unsigned seat)
{
	struct lane *newest = NULL;

	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].seated && s->lanes[i].seat == seat &&
			(newest == NULL || s->lanes[i].id > newest->id))
			newest = &s->lanes[i];
	return newest;
}

struct listener_socket *steer_socket(const struct listener *l, const struct lane *lane)
{
	return lane->seated ? group_own(l, lane->id) : group_socket(l, lane->id);
}

/* Is the lane its seat's newest one, where a worker is or will be? */
static bool is_seat_taken(const struct steer *s, const struct lane *lane)
{
	return lane->seated && lane->seat < s->seats &&
		steer_seat((struct steer *)(uintptr_t)s, lane->seat) == lane;
}

bool steer_is_live(const struct steer *s, const struct lane *lane, unsigned in_force, unsigned next)
{
	return lane->workers > 0 || is_seat_taken(s, lane) ||
		lane->id == steer_lane_of(s, in_force) || lane->id == steer_lane_of(s, next);
}

bool steer_is_needed(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket, unsigned in_force, unsigned next)
{
	for (unsigned i = 0; i < s->count; i++)
		if (group_socket(l, s->lanes[i].id) == socket &&
			steer_is_live(s, &s->lanes[i], in_force, next))
			return true;
	return false;
}

bool steer_has_workers(
	const struct steer *s, const struct listener *l, const struct listener_socket *socket)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].workers > 0 && group_socket(l, s->lanes[i].id) == socket)
			return true;
	return false;
}

/* ---- a worker and its sockets ---- */

/* Does a living worker have the socket of that lane? */
static bool has_living_worker(
	const struct service *service, const struct listener *l, unsigned lane)
{
	const struct listener_socket *socket = group_socket(l, lane);
	const struct child *c;

	for_each_child (c, children_of(service))
		if (group_socket(l, c->traffic.lane) == socket)
			return true;
	return false;
}

void steer_wake_others(const struct service *service, unsigned lane)
{
	struct listener *l;

	if (cluster_state(service->core) == CLUSTER_STOPPING)
		return;
	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (has_living_worker(service, l, lane))
			group_wake(l, lane);
}

bool steer_is_away(const struct child *child)
{
	const struct service *service = child->service;
	const struct listener *l;
	bool steered = false;

	if (service->traffic.steer == NULL || !child->traffic.in_lane)
		return false;
	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE)) {
		if (group_size(l) == 1 || l->own_group)
			continue;
		if (group_socket(l, child->traffic.lane)->weight > 0)
			return false;
		steered = true;
	}
	return steered;
}

bool steer_has_peers(const struct child *child, const struct listener *l)
{
	const struct listener_socket *mine = group_socket(l, child->traffic.lane);
	const struct child *c;

	for_each_child (c, children_of(child->service))
		if (c != child && c->traffic.in_lane && c->traffic.takes &&
			group_socket(l, c->traffic.lane) == mine)
			return true;
	return false;
}

/* Can only workers of this lane take what is left in the queue of the lane's socket? */
static bool is_only_taker(const struct steer *s, const struct listener *l, unsigned lane)
{
	const struct listener_socket *mine = group_socket(l, lane);

	if (group_size(l) == 1 || mine->weight > 0)
		return false; /* workers of other lanes take from it */
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].id != lane && s->lanes[i].workers > 0 &&
			group_socket(l, s->lanes[i].id) == mine)
			return false;
	return true;
}

bool steer_may_stop(const struct child *child)
{
	const struct steer *s = child->service->traffic.steer;
	unsigned lane = child->traffic.lane;
	const struct listener *l;
	const struct child *c;

	if (s == NULL || !child->traffic.in_lane)
		return true;
	for_each_child (c, children_of(child->service))
		if (c != child && c->traffic.in_lane && c->traffic.lane == lane &&
			!c->traffic.withdrawn)
			return true; /* the other worker can take what waits */
	for_each_listener (l, listeners_of(child->service, LISTENERS_ALL))
		if (is_only_taker(s, l, lane) && !group_is_dry(l, group_socket(l, lane)))
			return false;
	return true;
}

/* ---- steer seats ---- */

/*
 * A lane for each slot, so that the kernel can spread connections over workers (`balance`).  nclust
 * holds the sockets: a connection that waits for a worker that has died waits for the next worker
 * in the slot, which gets the same socket.
 *
 * Some workers keep their socket for themselves, so that their successor gets another: a worker
 * that is drained by looking, to empty its queue; a spare that listens (trap.spare_listens), to get no
 * client; and with `surge = all` an old worker that still gets all clients.  The successor of any
 * other worker has the same socket, so that it takes what the worker leaves.
 */

/* Returns a lane that no seat in use has, for this slot: a lane of workers that are gone, or,
 * unless the old worker `keeps` its socket, the lane that all workers share. */
static struct lane *find_free_lane(struct steer *s, bool keeps)
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

/* The worker that will have the lane may open other ports than the worker before. */
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
		(old->trap.spare_listens ||
			(generation != old->generation &&
				cluster_view_rollout(s->service->core).old_alone) ||
			cluster_empties(s->service->core, old->generation));
	unsigned seat = slot % SEATS_MAX;
	struct lane *lane;

	steer_drop_lanes(s);
	lane = steer_seat(s, seat);
	if (lane == NULL || (keeps && lane->workers > 0))
		lane = find_free_lane(s, keeps);
	if (lane == NULL)
		lane = open_another(s);
	if (lane == NULL) /* no other lane can be opened */
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

static void provide_socket(struct steer *s, const struct child *child, struct listener *l, bool own)
{
	const struct lane *lane =
		child->traffic.in_lane ? steer_find_lane(s, child->traffic.lane) : NULL;
	struct listener_socket *k;

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

void steer_on_uses(struct child *child, struct listener *l, enum listener_use use)
{
	struct steer *s = child->service->traffic.steer;

	if (s == NULL)
		return;
	if (use == USE_SPARE_LISTENS) { /* the share may be of a time when no worker was ready */
		steer_share_out(s, l, false);
		return;
	}
	if (child->traffic.in_lane && child->traffic.takes)
		steer_look_next_turn(s); /* the worker is ready already, and may have listened */
	if (use != USE_LISTENS)
		provide_socket(s, child, l, use == USE_OWN);
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
