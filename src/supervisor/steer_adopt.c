/* SPDX-License-Identifier: MIT */
#include "supervisor/child.h"
#include "supervisor/steer_lanes.h"
#include "supervisor/steer_socket.h"

#include <stdlib.h>

/* ---- taken over ---- */

static void add_lane(struct steer *s, unsigned id)
{
	if (steer_find_lane(s, id) != NULL || s->count >= LANES_MAX)
		return;
	s->lanes[s->count++] = (struct lane){.id = id};
	if (s->last < id)
		s->last = id;
}

static void add_lanes(struct steer *s, struct listener *l, void *context)
{
	(void)context;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next) {
		k->served = true;
		add_lane(s, k->lane);
	}
}

static void clear_lane(struct child *child, int unused)
{
	(void)unused;
	child->lane = 0;
	if (child->entry != NULL)
		child->entry->lane = 0;
}

/* Which lane has the generation? */
static void map_child(struct child *child, int generation)
{
	struct steer *s = child->service->steer;

	if (child->generation != (unsigned)generation ||
		steer_find_lane(s, child->lane) == NULL)
		return;
	if (s->from_count == 0 ||
		s->from[s->from_count - 1].lane != child->lane)
		steer_map(s, child->generation, child->lane);
}

static void drop_unknown_lane(struct child *child, int unused)
{
	struct steer *s = child->service->steer;

	(void)unused;
	if (steer_find_lane(s, child->lane) == NULL)
		child->lane = s->from[0].lane;
}

void steer_adopt(struct service *service)
{
	struct supervisor *sup = service->sup;
	unsigned generation = cluster_generation(service->core);
	unsigned first = generation > 64 ? generation - 64 : 0;
	struct steer *s;

	if (!steer_is_busy(service)) {
		children_each(sup, service, clear_lane, 0);
		return;
	}
	s = steer_new(service);
	if (s == NULL)
		return;
	steer_visit_all(s, add_lanes, NULL);
	for (unsigned g = first; g <= generation; g++)
		children_each(sup, service, map_child, (int)g);
	if (s->from_count == 0)
		steer_map(s, 0, s->lanes[0].id);
	children_each(sup, service, drop_unknown_lane, 0);
	steer_count(s);
	steer_visit_all(s, steer_share_out, s);
	steer_look(s);
}
