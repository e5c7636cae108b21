/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "base/nsec.h"
#include "os/clock.h"
#include "os/socket/reuseport.h"
#include "supervisor/common/part.h"
#include "supervisor/drain/drain.h"
#include "supervisor/drain/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/common/news.h"
#include "supervisor/drain/steer_lanes.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/*
 * Opens a second socket at a listener's address, for successors of workers that cannot be taken off
 * the first (drain.h): the new generation of a rollout, or the successor of a single worker.
 */

/* ---- who has it ---- */

/* Did the worker get that listener?  Not if a reload has added the listener since. */
static bool has_listener(const struct child *child, const struct listener *l)
{
	const struct service *service = child->service;
	const struct recipe *r = recipe_of(service, child->generation);

	if (learned_has(child, l))
		return true;
	if (r == NULL) /* an adopted worker may be of other settings */
		return !child->saved.adopted || l->left_over ||
			child->generation == cluster_generation(service->core);
	for (size_t i = 0; i < r->listeners.count; i++)
		if (r->listeners.list[i] == l)
			return true;
	return false;
}

static bool all_have(const struct service *service, const struct listener *l)
{
	struct child_walk walk = children_of(service);
	const struct child *child = child_next(&walk);

	while (child != NULL && has_listener(child, l))
		child = child_next(&walk);
	return child == NULL;
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
	const struct listener *other;

	for_each_listener (other, listeners_of(service, LISTENERS_IN_FORCE))
		if (other != l && other->has_key && socket_key_like(&other->key, &l->key))
			return true;
	return false;
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
	return group_size(l) < LANES_MAX ? NULL : "it has too many sockets";
}

/* Can the listener have another socket?  Not where nclust itself accepts for the workers. */
static bool can_steer(const struct steer *s, const struct listener *l)
{
	const struct recipe *r = recipe_of(s->service, cluster_generation(s->service->core));

	return l->facts.listening && (r == NULL || !recipe_accepts(r)) &&
		why_one_socket(s, l) == NULL;
}

/* Opens a socket for that lane.  -1 and errno. */
static int open_for_lane(struct steer *s, struct listener *l, unsigned lane)
{
	int fd = reuseport_join(l->fd);
	int error = errno;

	if (fd != -1 && group_add(l, fd, lane) == NULL) {
		error = errno;
		reuseport_leave(fd);
		fd = -1;
	}
	if (fd == -1) {
		errno = error;
		return -1;
	}
	steer_share_out(s, l, true);
	if (reuseport_unmute(fd, l->fd) == 0)
		group_apply(l); /* weights set before the socket listened are lost */
	heal_watch_also(l, fd);
	return 0;
}

struct opening {
	unsigned lane;
	unsigned opened;
};

static void open_socket(struct steer *s, struct listener *l, void *context)
{
	struct opening *opening = context;
	struct listener_socket *new = NULL;

	if (!can_steer(s, l) || !steer_is_among_us(s, l))
		return;
	if (l->sockets == NULL) {
		new = group_add(l, l->fd, 0);
		if (new == NULL)
			return;
		new->weight = 1;
		new->served = true;
	}
	if (open_for_lane(s, l, opening->lane) == -1) {
		log_info("listener '%s': old and new workers share it during "
			 "this rollout: %s",
			l->address.name, strerror(errno));
		if (group_size(l) == 1)
			group_forget(l);
		return;
	}
	opening->opened++;
}

/* ---- a socket of its own for each ---- */

static void log_one_socket(struct listener *l, const char *why)
{
	if (once_say(l->said, ONCE_ONE_SOCKET))
		log_note("listener '%s': workers share it, though the "
			 "settings ask for a socket for each: %s",
			l->address.name, why);
}

/* Do workers without a seat have the listener?  They share the socket that there is. */
static bool is_had_by_others(struct steer *s, const struct listener *l)
{
	const struct child *child;

	for_each_child (child, children_of(s->service)) {
		const struct lane *lane =
			child->traffic.in_lane ? steer_find_lane(s, child->traffic.lane) : NULL;

		if (lane != NULL && !lane->seated && has_listener(child, l))
			return true;
	}
	return false;
}

bool steer_open_own(struct steer *s, struct listener *l, unsigned lane, bool own)
{
	const char *why = why_one_socket(s, l);
	struct listener_socket *first;

	if (l->address.each != NULL || (l->sockets != NULL && group_own(l, lane) != NULL))
		return false;
	if (why == NULL && !is_udp(l) && l->key.protocol != IPPROTO_TCP)
		why = "MPTCP cannot do that";
	if (why != NULL) {
		log_one_socket(l, why);
		return false;
	}
	if (!steer_is_among_us(s, l))
		return false;
	if (l->sockets == NULL) {
		first = group_add(l, l->fd, own || !is_had_by_others(s, l) ? lane : 0);
		if (first == NULL)
			return false;
		first->weight = 1;
		first->served = true;
		l->spread = l->chosen = steer_spread(s, l);
		if (first->lane == lane)
			return true;
	}
	if (open_for_lane(s, l, lane) == 0)
		return true;
	log_one_socket(l, strerror(errno));
	return false;
}

/* Opens a lane with sockets of its own; 0: no socket could be opened. */
static unsigned open_lane(struct steer *s)
{
	const struct service *service = s->service;
	struct listener_walk walk = listeners_of(service, LISTENERS_IN_FORCE);
	struct opening opening = {.lane = steer_new_lane(s)};
	struct listener *l;

	if (opening.lane == 0)
		return 0;
	while ((l = listener_next(&walk)) != NULL)
		if (walk.set == &service->sockets.learned ? l->users == 1 : all_have(service, l))
			open_socket(s, l, &opening);
	if (opening.opened == 0)
		return 0;
	steer_add_lane(s, opening.lane);
	/* the state file must have the sockets before a worker does */
	PARTS(write_down, service->sup);
	return opening.lane;
}

/* ---- rollouts ---- */

static bool drains_by_looking(const struct service *service)
{
	enum drain_mode drain = cluster_settings(service->core)->drain;

	return drain == DRAIN_QUIET || drain == DRAIN_AUTO;
}

static bool is_for_all(const struct service *service, const struct rollout_view *rollout)
{
	return rollout->of == cluster_wanted(service->core);
}

struct child *steer_find_old(const struct service *service, uint32_t slot)
{
	if (slot >= service->child_slots)
		return NULL;
	return service->children[slot][0] != NULL ? service->children[slot][0]
						  : service->children[slot][1];
}

/* Do the old workers require another socket?  One is looked at: all have the same command. */
static bool is_stubborn(const struct service *service)
{
	if (!drains_by_looking(service))
		return false;
	for (uint32_t i = 0; i < service->child_slots; i++) {
		struct child *child = steer_find_old(service, i);

		if (child != NULL && child->traffic.drain == NULL)
			return drain_is_stubborn(child, 0);
	}
	return false;
}

/* Are there more clients that stay than workers?  Clients of WebSockets connect again as soon as a
 * worker says goodbye to them.  Where nearly all connections are short, the first new worker could
 * not take all of them alone. */
static bool most_clients_stay(const struct service *service)
{
	nsec_t until = clock_now() + TURN_SPAN;
	unsigned workers = 0;
	unsigned stay = 0;
	struct child *child;

	for_each_child (child, children_of(service)) {
		if (clock_now() > until)
			break;
		workers++;
		stay += drain_count_stay(child);
	}
	return stay > workers;
}

/* Are the new workers to get all clients at once (surge = all)?  Not if the cluster has no slots:
 * then the rollout is over already. */
static bool is_whole(const struct service *service, const struct rollout_view *rollout)
{
	return rollout->whole && is_for_all(service, rollout);
}

void steer_begin(struct service *service, unsigned generation)
{
	struct steer *s = service->traffic.steer;
	struct rollout_view rollout = cluster_view_rollout(service->core);
	unsigned opened = 0;
	unsigned now;
	bool all = !steer_spreads(service, generation) && !rollout.going_back &&
		is_for_all(service, &rollout);
	bool stay = all && cluster_settings(service->core)->drain != DRAIN_OFF &&
		most_clients_stay(service);
	bool wanted = stay || (all && is_stubborn(service)) ||
		(!steer_spreads(service, generation) && is_whole(service, &rollout));

	if (s == NULL && wanted)
		s = steer_begin_anew(service);
	if (s == NULL)
		return;
	s->mute_at_once = s->new_alone = false;
	once_forget(service->said, ONCE_STRANGER_LISTENS);
	s->clients_stay = stay;
	now = steer_lane_of(s, cluster_generation(service->core));
	steer_drop_lanes(s);
	if (wanted)
		opened = open_lane(s);
	steer_map(s, generation, opened != 0 ? opened : now);
}

/* ---- a single one ---- */

/* Returns the old worker of a slot, if it will be drained once the new worker is ready, and would
 * still get connections while other workers go on; or NULL. */
static struct child *find_stubborn(const struct service *service, uint32_t slot)
{
	struct child *old = steer_find_old(service, slot);
	struct rollout_view rollout = cluster_view_rollout(service->core);

	if (old == NULL || cluster_alive(service->core) < 2 || !drains_by_looking(service) ||
		(rollout.under_way && is_for_all(service, &rollout)))
		return NULL;
	return drain_is_stubborn(old, 2) ? old : NULL;
}

/* Returns a lane for the successor of `old` that has other sockets than `old`. */
static unsigned find_lane_beside(struct steer *s, const struct child *old, unsigned home)
{
	unsigned opened;

	if (!old->traffic.in_lane || home != old->traffic.lane)
		return home;
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].id != old->traffic.lane && s->lanes[i].workers > 0)
			return s->lanes[i].id;
	steer_drop_lanes(s);
	opened = open_lane(s);
	return opened != 0 ? opened : home;
}

unsigned steer_lane(struct service *service, unsigned generation, uint32_t slot)
{
	const struct child *old = NULL;
	struct steer *s;
	bool spreads;

	if (service->counters.started == 0)
		imbalance_decide(service, generation);
	spreads = steer_spreads(service, generation);
	if (!spreads)
		old = find_stubborn(service, slot);
	s = service->traffic.steer;
	if (spreads && s == NULL)
		s = steer_begin_anew(service);
	if (spreads && s != NULL)
		return steer_take_seat(s, generation, slot);
	if (s == NULL && old != NULL)
		s = steer_begin_anew(service);
	if (s == NULL)
		return 0;
	/* connections wait at sockets without workers: this worker serves them */
	for (unsigned i = 0; i < s->count; i++)
		if (steer_is_orphaned(s, &s->lanes[i]))
			return s->lanes[i].id;
	return old != NULL ? find_lane_beside(s, old, steer_lane_of(s, generation))
			   : steer_lane_of(s, generation);
}
