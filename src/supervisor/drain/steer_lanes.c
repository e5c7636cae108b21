/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/steer_lanes.h"

#include "supervisor/sockets/group.h"

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

struct lane *steer_seat(struct steer *s, unsigned seat)
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
