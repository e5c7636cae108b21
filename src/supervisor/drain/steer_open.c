/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/steer_open.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/socket/reuseport.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/drain/internal.h"
#include "supervisor/drain/steer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/*
 * Opens more sockets at a listener's address: for successors of workers that cannot be taken off
 * the first (steer.h), which are the new generation of a rollout or the successor of a single
 * worker; and for each slot, so that the kernel can spread connections over workers (`balance`).
 */

/* ---- who has it ---- */

/* Returns the worker of that slot that a new one is to replace; NULL: there is none. */
static struct child *find_old(const struct service *service, uint32_t slot)
{
	if (slot >= service->child_slots)
		return NULL;
	return service->children[slot][0] != NULL ? service->children[slot][0]
						  : service->children[slot][1];
}

static bool all_have(const struct service *service, const struct listener *l)
{
	return walk_find(child, child_next, children_of(service), !learned_or_passed(child, l)) ==
		NULL;
}

/* ---- another socket ---- */

bool steer_is_among_us(struct steer *s, const struct listener *l)
{
	scoped_str text = NULL;

	if (!group_has_stranger(l))
		return true;
	if (!once_say(s->service->said, ONCE_STRANGER_LISTENS))
		return false;
	text = address_format(&l->address);
	news_say_of(s->service, LOG_WARN, "stranger-listens",
		"another process listens at %s as well (SO_REUSEPORT, the same "
		"user): as long as it does the sockets there stay as they are",
		text != NULL ? text : l->address.name);
	return false;
}

/* Do other clusters have the listener?  After a reload their workers may, for a while. */
static bool is_shared(
	const struct supervisor *sup, const struct service *own, const struct listener *l)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct listener_walk walk = listeners_of(sup->services[i], LISTENERS_NAMED);
		const struct listener *other;

		while (sup->services[i] != own && (other = listener_next(&walk)) != NULL)
			if (other == l)
				return true;
	}
	return false;
}

/* Has the server its own SO_REUSEPORT group here?  nclust leaves such a group alone. */
static bool has_twin(const struct service *service, const struct listener *l)
{
	return walk_find(other, listener_next, listeners_of(service, LISTENERS_IN_FORCE),
		       other != l && other->has_key && socket_key_like(&other->key, &l->key)) !=
		NULL;
}

static bool is_udp(const struct listener *l)
{
	return l->has_key && l->key.type == SOCK_DGRAM && l->key.protocol == IPPROTO_UDP;
}

/* Returns why nclust cannot open another socket there; NULL: nclust can. */
static const char *why_one_socket(const struct steer *s, const struct listener *l)
{
	if (!is_udp(l) && (!l->has_key || !socket_key_is_tcp(&l->key)))
		return "it is neither TCP nor UDP";
	if (!l->made && !l->learned)
		return "nclust was given it";
	if (l->address.each != NULL)
		return "each slot has its own";
	if (l->own_group || has_twin(s->service, l))
		return "the server has a SO_REUSEPORT group of its own there";
	if (is_shared(s->service->sup, s->service, l))
		return "another cluster has it, too";
	return group_size(l) < REUSEPORT_MAX ? NULL : "it has too many sockets";
}

/* The lane of the workers that share the socket that there is. */
static unsigned shared_lane(const struct steer *s)
{
	return steer_lane_of(s, cluster_generation(s->service->core));
}

/* Makes the socket that there is the first of several.  False: out of memory. */
static bool add_first(const struct steer *s, struct listener *l, unsigned lane, uint32_t slot)
{
	struct listener_socket *first = group_add(l, l->fd, lane);

	if (first == NULL)
		return false;
	first->slot = slot;
	first->weight = 1;
	first->served = true;
	l->spread = l->chosen = steer_spread(s, l);
	return true;
}

/* -1 and errno. */
static int join_group(struct steer *s, struct listener *l, unsigned lane, uint32_t slot)
{
	int fd = reuseport_join(l->fd);
	struct listener_socket *k = fd != -1 ? group_add(l, fd, lane) : NULL;
	int error = errno;

	if (k == NULL) {
		if (fd != -1)
			reuseport_leave(fd);
		errno = error;
		return -1;
	}
	k->slot = slot;
	steer_share_out(s, l, true);
	if (reuseport_unmute(fd, l->fd) == -1) { /* the kernel would drop its clients */
		error = errno;
		group_close(l, k);
		steer_share_out(s, l, true);
		errno = error;
		return -1;
	}
	group_apply(l); /* weights set before the socket listened are lost */
	heal_watch_also(l, fd);
	return 0;
}

static void log_one_socket(const struct steer *s, struct listener *l, const char *why)
{
	bool proves = cluster_settings(s->service->core)->ready == READY_PROBE;

	if (once_say(l->said, ONCE_ONE_SOCKET))
		log_note("listener '%s': %s: %s", l->address.name,
			proves ? "a worker that has not passed 'ready' gets clients, too"
			       : "workers share it, though the settings ask for a socket for each",
			why);
}

/* Opens a socket of that lane, for one slot or (SLOT_ALL) for workers that share it. */
static bool open_socket(struct steer *s, struct listener *l, unsigned lane, uint32_t slot)
{
	if (l->sockets == NULL && !add_first(s, l, shared_lane(s), SLOT_ALL))
		return false;
	if (join_group(s, l, lane, slot) == 0)
		return true;
	if (slot != SLOT_ALL)
		log_one_socket(s, l, strerror(errno));
	else
		log_info("listener '%s': old and new workers share it during this rollout: %s",
			l->address.name, strerror(errno));
	if (group_size(l) == 1)
		group_forget(l);
	return false;
}

/* Opens sockets of another lane.  0: no socket could be opened. */
static unsigned open_lane(struct steer *s)
{
	const struct service *service = s->service;
	struct listener_walk walk = listeners_of(service, LISTENERS_IN_FORCE);
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));
	unsigned lane = s->last_lane + 1;
	bool opened = false;
	struct listener *l;

	if (r != NULL && recipe_accepts(r))
		return 0; /* nclust itself accepts for the workers */
	while ((l = listener_next(&walk)) != NULL)
		if (walk.set == &service->sockets.learned ? l->users == 1 : all_have(service, l))
			opened |= l->facts.listening && why_one_socket(s, l) == NULL &&
				steer_is_among_us(s, l) && open_socket(s, l, lane, SLOT_ALL);
	if (!opened)
		return 0;
	s->last_lane = lane;
	/* the state file must have the sockets before a worker does */
	moment_write_down(service->sup);
	return lane;
}

/* ---- sockets of each slot ---- */

/* Can each slot have a socket of its own there? */
static bool can_have_own(struct steer *s, struct listener *l)
{
	const char *why = why_one_socket(s, l);

	if (l->address.each != NULL)
		return false;
	if (why == NULL && !is_udp(l) && l->key.protocol != IPPROTO_TCP)
		why = "MPTCP cannot do that";
	if (why != NULL)
		log_one_socket(s, l, why);
	return why == NULL && steer_is_among_us(s, l);
}

bool steer_open_waits(struct steer *s, struct listener *l)
{
	if (group_own(l, LANE_WAITS) != NULL)
		return true;
	if (l->facts.type != SOCK_STREAM || why_one_socket(s, l) != NULL ||
		!reuseport_can_migrate() || !steer_is_among_us(s, l) ||
		join_group(s, l, LANE_WAITS, SLOT_ALL) == -1)
		return false;
	moment_write_down(s->service->sup);
	return true;
}

/*
 * Some workers keep their socket for themselves, so that their successor gets another: a worker
 * that is drained by looking, to empty its queue; a spare that listens (trap.spare_listens), to get
 * no client; with `surge = all` an old worker that still gets all clients; and one whose successor
 * is to get none yet.  The successor of any other worker has the same socket, so that it takes what
 * the worker leaves.
 */
static bool keeps_sockets(const struct child *old, unsigned generation)
{
	const struct cluster *core = old->service->core;
	const struct recipe *r = recipe_of(old->service, generation);

	/* a new worker may get no clients before it has passed `ready`: what the old one leaves is
	 * moved then */
	return old->trap.spare_listens || cluster_empties(core, old->generation) ||
		(r != NULL && r->settings->ready == READY_PROBE && reuseport_can_migrate()) ||
		(generation != old->generation && cluster_view_rollout(core).old_alone);
}

/* Do workers that share the socket that there is keep it from those of that generation? */
static bool is_kept_by_others(const struct steer *s, const struct listener *l, unsigned generation)
{
	return walk_find(child, child_next, children_of(s->service),
		       !child->traffic.own && learned_or_passed(child, l) &&
			       keeps_sockets(child, generation)) != NULL;
}

/* Opens a socket of the worker's lane for its slot, or gives the slot the only socket that there
 * is.  `alone`: that is the worker's.  True: something has changed. */
static bool open_own(struct steer *s, struct listener *l, const struct child *child, bool alone)
{
	const uint32_t slot = child->slot % SLOTS_MOST;

	if (group_own(l, child->traffic.lane) != NULL || !can_have_own(s, l))
		return false;
	if (l->sockets == NULL && (alone || !is_kept_by_others(s, l, child->generation)))
		return add_first(s, l, child->traffic.lane, slot);
	return open_socket(s, l, child->traffic.lane, slot);
}

/* The state file must have the sockets before a worker does. */
static void open_all_own(struct steer *s, const struct child *child)
{
	const struct recipe *r = recipe_of(s->service, child->generation);
	bool opened = false;

	for (size_t i = 0; r != NULL && i < r->listeners.count; i++)
		opened |= open_own(s, r->listeners.list[i], child, false);
	if (opened)
		moment_write_down(s->service->sup);
}

static unsigned later_lane(unsigned lane, unsigned other)
{
	return other == LANE_NONE || lane > other ? lane : other;
}

unsigned steer_latest_lane(const struct steer *s, uint32_t slot)
{
	unsigned latest = LANE_NONE;
	const struct listener *l;
	const struct child *c;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
			if (k->slot == slot)
				latest = later_lane(k->lane, latest);
	for_each_child (c, children_of(s->service))
		if (c->traffic.own && c->slot % SLOTS_MOST == slot)
			latest = later_lane(c->traffic.lane, latest);
	return latest;
}

/* The lane of a socket that no worker has, and no slot that there is. */
static unsigned find_free_lane(const struct steer *s)
{
	struct listener *l;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		if (l->sockets != NULL)
			steer_count_workers(s, l);
		for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
			if (k->slot >= s->slots && k->lane != LANE_WAITS && steer_is_left(s, k))
				return k->lane;
	}
	return LANE_NONE;
}

/* The slot has the sockets of that lane from now on.  Its worker may open other ports than the
 * worker before. */
static void claim_lane(const struct steer *s, unsigned lane, uint32_t slot)
{
	struct listener *l;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		struct listener_socket *k = group_own(l, lane);

		if (k == NULL || k->slot == slot)
			continue;
		k->slot = slot;
		k->bound = false;
	}
}

/* Returns the latest lane of the slot or, if its worker keeps that, a free one or a new one. */
static unsigned find_own_lane(struct steer *s, uint32_t slot, bool keeps)
{
	unsigned lane = steer_latest_lane(s, slot);
	const struct listener *l;
	unsigned another;

	if (lane != LANE_NONE && !(keeps && steer_has_lane(s, lane)))
		return lane;
	another = find_free_lane(s);
	if (another != LANE_NONE)
		return another;
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		if (group_size(l) >= REUSEPORT_MAX)
			return lane; /* the listener has as many sockets as it can have */
	return ++s->last_lane;
}

/* Gives a worker that will start sockets of its slot's own.  nclust holds them: a connection that
 * waits for a worker that has died waits for the next one. */
static void take_own(struct steer *s, struct child *child)
{
	const struct child *old = find_old(s->service, child->slot);
	const uint32_t slot = child->slot % SLOTS_MOST;
	bool keeps = old != NULL && keeps_sockets(old, child->generation);
	unsigned lane;

	steer_count_slots(s);
	lane = find_own_lane(s, slot, keeps);
	child->traffic.lane = lane != LANE_NONE ? lane : shared_lane(s);
	if (lane == LANE_NONE) /* no socket can be opened */
		return;
	claim_lane(s, lane, slot);
	open_all_own(s, child);
	if (cluster_ready(s->service->core) == 0)
		steer_adjust(s);
}

/* A worker gets a listener by its bind(2). */
static void provide_socket(
	struct steer *s, const struct child *child, struct listener *l, bool alone)
{
	struct listener_socket *k;

	if (!child->traffic.own)
		return;
	(void)open_own(s, l, child, alone);
	k = group_own(l, child->traffic.lane);
	if (k == NULL || k->bound)
		return;
	k->bound = true;
	moment_write_down(s->service->sup);
	steer_adjust(s);
}

void steer_on_uses(struct child *child, struct listener *l, enum listener_use use)
{
	struct steer *s = steer_of(child->service);

	if (use == USE_SPARE_LISTENS) { /* the share may be of a time when no worker was ready */
		steer_share_out(s, l, false);
		return;
	}
	if (child->traffic.takes)
		steer_look_next_turn(s); /* the worker is ready already, and may have listened */
	if (use != USE_LISTENS)
		provide_socket(s, child, l, use == USE_OWN);
}

/* ---- rollouts ---- */

static bool is_for_all(const struct service *service, const struct rollout_view *rollout)
{
	return rollout->of == cluster_wanted(service->core);
}

/* Do the old workers require another socket?  One is looked at: all have the same command. */
static bool is_stubborn(const struct service *service)
{
	if (!drain_comes_first(service))
		return false;
	for (uint32_t i = 0; i < service->child_slots; i++) {
		struct child *child = find_old(service, i);

		if (child != NULL && child->traffic.drain == NULL)
			return drain_glance(child, 0).stubborn;
	}
	return false;
}

/* Are there more clients that stay than workers?  Clients of WebSockets connect again as soon as a
 * worker says goodbye to them.  Where nearly all connections are short, the first new worker could
 * not take all of them alone. */
static bool most_clients_stay(const struct service *service)
{
	/* once a rollout: the first workers, which may have the fewest clients, do not stand for all */
	nsec_t until = clock_now() + 10 * TURN_SPAN;
	unsigned workers = 0;
	unsigned stay = 0;
	struct child *child;

	for_each_child (child, children_of(service)) {
		if (clock_now() > until)
			break;
		workers++;
		stay += drain_glance(child, UINT_MAX).silent;
	}
	return stay > workers;
}

void steer_begin(struct steer *s, unsigned generation)
{
	struct service *service = s->service;
	struct rollout_view rollout = cluster_view_rollout(service->core);
	unsigned opened;
	bool all = !steer_spreads(service, generation) && !rollout.going_back &&
		is_for_all(service, &rollout);
	bool stay = all && cluster_settings(service->core)->drain != DRAIN_OFF &&
		most_clients_stay(service);
	bool wanted = stay || (all && is_stubborn(service)) ||
		/* surge = all; if the cluster has no slots, the rollout is over already */
		(!steer_spreads(service, generation) && rollout.whole &&
			is_for_all(service, &rollout));

	s->mute_at_once = s->new_alone = false;
	once_forget(service->said, ONCE_STRANGER_LISTENS);
	s->clients_stay = stay;
	steer_count_slots(s);
	s->lane = shared_lane(s);
	opened = wanted ? open_lane(s) : 0;
	s->next_lane = opened != 0 ? opened : s->lane;
	s->next_generation = generation;
}

/* ---- a single one ---- */

/* Returns the old worker of a slot, if it will be drained once the new worker is ready, and would
 * still get connections while other workers go on; or NULL. */
static struct child *find_stubborn(const struct service *service, uint32_t slot)
{
	struct child *old = find_old(service, slot);
	struct rollout_view rollout = cluster_view_rollout(service->core);

	if (old == NULL || cluster_alive(service->core) < 2 || !drain_comes_first(service) ||
		(rollout.under_way && is_for_all(service, &rollout)))
		return NULL;
	return drain_glance(old, 2).stubborn ? old : NULL;
}

/* Returns a lane for the successor of `old` that has other sockets than `old`. */
static unsigned find_lane_beside(struct steer *s, const struct child *old, unsigned lane)
{
	const struct child *c;
	unsigned opened;

	if (lane != old->traffic.lane)
		return lane;
	for_each_child (c, children_of(s->service))
		if (c->traffic.lane != lane)
			return c->traffic.lane;
	opened = open_lane(s);
	return opened != 0 ? opened : lane;
}

/*
 * Finds a socket whose workers have all died, as happens mostly with a new release, and where
 * connections wait.  Only a process that has this socket can take the connections, so the next
 * worker gets the socket.  The kernel moves connections to another socket only for a process that
 * may load eBPF.
 */
static unsigned find_orphaned_lane(const struct steer *s)
{
	struct listener *l;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		if (group_size(l) == 1)
			continue;
		steer_count_workers(s, l);
		for (const struct listener_socket *k = l->sockets; k != NULL; k = k->next)
			if (k->workers == 0 && k->lane != LANE_WAITS && group_has_queue(l, k))
				return k->lane;
	}
	return LANE_NONE;
}

static void take_shared(struct steer *s, struct child *child)
{
	const struct child *old = find_stubborn(s->service, child->slot);
	unsigned lane = find_orphaned_lane(s);

	if (lane == LANE_NONE) {
		lane = steer_lane_of(s, child->generation);
		if (old != NULL)
			lane = find_lane_beside(s, old, lane);
	}
	child->traffic.lane = lane;
}

void steer_choose_lane(struct child *child)
{
	struct service *service = child->service;

	child->traffic.own = steer_spreads(service, child->generation);
	if (child->traffic.own)
		take_own(steer_of(service), child);
	else
		take_shared(steer_of(service), child);
}
