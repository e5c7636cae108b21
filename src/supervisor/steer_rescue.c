/* SPDX-License-Identifier: MIT */
#include "supervisor/steer_lanes.h"

#include "os/reuseport.h"
#include "os/sockdiag.h"
#include "supervisor/steer_socket.h"

/*
 * Connections wait in a socket whose workers have all died: those of a new
 * release, mostly.  Nobody but a process that has this socket can take them, as the
 * next worker that is started does; the kernel moves them to another one only for
 * who may load eBPF.
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
		o->waits = steer_has_queue(l, k);
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
	if (l->own_group || reuseport_migrate(k->fd) == -1)
		return false;
	steer_close(l, k, true);
	/* nobody was woken for what has moved */
	for (k = l->sockets; k != NULL; k = k->next)
		steer_wake(l, k->lane);
	return true;
}
