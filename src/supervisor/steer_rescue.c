/* SPDX-License-Identifier: MIT */
#include "supervisor/steer_lanes.h"

#include "core/cluster.h"
#include "os/reuseport.h"
#include "os/sockdiag.h"
#include "supervisor/child.h"
#include "supervisor/service.h"
#include "supervisor/steer_socket.h"

/*
 * Connections wait in a socket whose workers have all died: those of a new
 * release, mostly.  Nobody but a process that has this socket can take them; the
 * kernel moves them to another one only for who may load eBPF.  Else, if the old
 * release is another program than the new one, a worker of it is replaced, in
 * turn, by one that gets the abandoned socket; and that one again, later, so that
 * all have the same socket.
 */

bool steer_has_workers(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].workers > 0 &&
			steer_socket_of(l, s->lanes[i].id) == socket)
			return true;
	return false;
}

struct orphanage {
	unsigned lane;
	bool waits; /* somebody does, in a queue of that lane */
};

static void look_for_queue(struct steer *s, struct listener *l, void *context)
{
	struct orphanage *o = context;
	const struct listener_socket *k = steer_socket_of(l, o->lane);

	if (!o->waits && steer_sockets(l) > 1 && !steer_has_workers(s, l, k))
		o->waits = steer_has_queue(k);
}

bool steer_is_orphaned(struct steer *s, const struct lane *lane)
{
	struct orphanage o = {.lane = lane->id};

	if (lane->workers == 0)
		steer_visit_all(s, look_for_queue, &o);
	return o.waits;
}

bool steer_move_queue(struct listener *l, struct listener_socket *k)
{
	struct queue_facts queue;

	if (l->own_group || reuseport_migrate(k->fd) == -1)
		return false;
	steer_close(l, k);
	/* nobody was woken for what has moved */
	sockdiag_queue(l->fd, &queue);
	for (k = l->sockets; k != NULL && queue.depth <= 0; k = k->next)
		sockdiag_queue(k->fd, &queue);
	if (queue.depth > 0)
		reuseport_knock(l->fd);
	return true;
}

/* ---- a worker for them ---- */

struct choice {
	unsigned home; /* the lane of whoever is started now */
	bool strays;   /* one who is elsewhere, else one who is there */
	struct child *best;
};

static void consider(struct child *child, struct choice *c)
{
	if (c->best == NULL && child->in_lane && child->takes &&
		(child->lane != c->home) == c->strays &&
		child->generation == cluster_generation(child->service->core))
		c->best = child;
}

/* One that is alone in its slot. */
static struct child *choose(const struct service *service, struct choice c)
{
	for (uint32_t i = 0; i < service->child_slots; i++) {
		struct child *const *in = service->children[i];

		if ((in[0] == NULL) != (in[1] == NULL))
			consider(in[0] != NULL ? in[0] : in[1], &c);
	}
	return c.best;
}

static void replace_one(struct steer *s, unsigned home, bool strays)
{
	struct child *child = choose(
		s->service, (struct choice){.home = home, .strays = strays});
	struct event event = {.kind = EVENT_OUTGROWN, .why = WHY_QUEUE};

	if (child == NULL)
		return;
	s->help = strays ? HELP_NONE : HELP_CAME;
	event.slot = child->slot;
	event.worker = child->worker;
	service_tell(s->service, &event);
}

static bool anybody_waits(struct steer *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (steer_is_orphaned(s, &s->lanes[i]))
			return true;
	return false;
}

struct search {
	unsigned lane;
	bool found;
};

static void look_for_strays(struct steer *s, struct listener *l, void *context)
{
	struct search *search = context;
	const struct listener_socket *home = steer_socket_of(l, search->lane);

	if (steer_sockets(l) == 1)
		return;
	for (unsigned i = 0; i < s->count; i++)
		search->found |= s->lanes[i].workers > 0 &&
			steer_socket_of(l, s->lanes[i].id) != home;
}

static bool has_strays(struct steer *s, unsigned home)
{
	struct search search = {.lane = home};

	steer_visit_all(s, look_for_strays, &search);
	return search.found;
}

/* Each once: what has died may well be all there is to start. */
bool steer_rescue(struct steer *s)
{
	unsigned home = steer_lane_of(s, cluster_generation(s->service->core));
	bool orphans = anybody_waits(s);
	bool strays = has_strays(s, home);
	bool again = orphans || s->help == HELP_CAME;
	struct rollout_view rollout;

	cluster_view_rollout(s->service->core, &rollout);
	if (rollout.under_way) /* it starts workers by itself */
		return orphans;
	if (orphans && s->help == HELP_MAY_COME)
		replace_one(s, home, false);
	else if (!orphans && s->help == HELP_CAME && strays)
		replace_one(s, home, true);
	else if (!orphans && s->help == HELP_CAME)
		s->help = HELP_NONE;
	return again;
}
