/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/child.h"
#include "supervisor/drain/steer_lanes.h"
#include "supervisor/sockets/group.h"

#include <stdlib.h>

/* ---- taken over ---- */

static void add_lanes(struct steer *s, struct listener *l, void *context)
{
	(void)context;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next) {
		k->served = true;
		steer_add_lane(s, k->lane);
	}
}

/* Which lane has the generation? */
static void map_generation(struct steer *s, unsigned generation)
{
	struct child_walk walk = children_of(s->service);
	const struct child *child;

	while ((child = child_next(&walk)) != NULL)
		if (child->generation == generation)
			steer_map_found(s, generation, child->traffic.lane);
}

struct steer *steer_begin_anew(struct service *service)
{
	struct child_walk walk = children_of(service);
	const struct child *child;
	unsigned generation = cluster_generation(service->core);
	unsigned first = generation > 64 ? generation - 64 : 0;
	struct steer *s = steer_new(service);

	if (s == NULL)
		return NULL;
	while ((child = child_next(&walk)) != NULL)
		steer_add_lane(s, child->traffic.lane);
	steer_visit_all(s, add_lanes, NULL);
	if (s->count == 0)
		steer_add_lane(s, 0);
	for (unsigned g = first; g <= generation; g++)
		map_generation(s, g);
	if (s->from_count == 0)
		steer_map(s, 0, s->last);
	steer_count(s);
	return s;
}

void steer_on_adopted(struct service *service)
{
	struct steer *s;

	if (!steer_is_busy(service))
		return;
	s = steer_begin_anew(service);
	if (s == NULL)
		return;
	steer_visit_all(s, steer_share_out, s);
	steer_look(s);
}
