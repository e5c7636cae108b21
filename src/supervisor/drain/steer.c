/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/drain.h"

#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/drain/internal.h"
#include "supervisor/drain/steer_lanes.h"
#include "supervisor/sockets/group.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Time for workers to become quiet before their lane gets no connections. */
#define PRESS_AFTER (300 * MSEC)
/* Old workers help the new generation when its clients have waited for so long. */
#define CROWDED_AFTER (200 * MSEC)
/* A queue that no worker takes from is reset after that, so that its clients can try again. */
#define ORPHAN_MAX (10 * SECOND)
#define LOOK_EVERY (100 * MSEC)
/* The first look is early: a client may wait for a worker to be woken. */
#define LOOK_FIRST (2 * MSEC)

/* ---- lanes ---- */

static unsigned in_force(const struct steer *s)
{
	return cluster_generation(s->service->core);
}

/* The generation to which a rollout goes; without a rollout, that in force. */
static unsigned next_generation(const struct steer *s)
{
	struct rollout_view rollout = cluster_view_rollout(s->service->core);

	return rollout.under_way ? rollout.to : in_force(s);
}

/* ---- shares of new connections ---- */

/* Is the socket used?  With a seat for each slot, a setting that names a port gives each seat a
 * socket, but perhaps one worker alone opens the port.  So a socket that no worker has bound counts
 * only if no worker has bound any. */
static bool is_socket_used(const struct listener *l, const struct listener_socket *k)
{
	bool bound = false;

	for (const struct listener_socket *o = l->sockets; o != NULL; o = o->next)
		bound |= o->bound;
	return k->bound || !bound;
}

/* How many workers of that lane take connections at the listener?  Some servers open a port in one
 * of their workers alone, whether a setting names the port or not. */
static unsigned ready_at(const struct steer *s, const struct listener *l, const struct lane *lane)
{
	bool learned = learned_only(l);
	const struct child *child;
	unsigned ready = 0;
	uint64_t port;

	if (lane->seated || lane->ready == 0)
		return lane->ready;
	port = learned ? 0 : ports_bit(s->service, l);
	if (!learned && port == 0)
		return lane->ready;
	for_each_child (child, children_of(s->service))
		ready += child->traffic.takes && child->traffic.lane == lane->id &&
			(learned ? learned_has(child, l) : !ports_lacks(child, port));
	return ready;
}

/* Is the other generation alone to get new clients (surge = all)? */
static bool is_left_out(const struct lane *lane, const struct rollout_view *rollout)
{
	return lane->generation == rollout->to ? rollout->old_alone : rollout->new_alone;
}

/* Counts the ready workers of each socket into `sums`, by the socket's place, and returns their
 * sum.  `any`: also workers that get connections only if there are no others. */
static unsigned count_ready(
	const struct steer *s, const struct listener *l, bool any, unsigned sums[LANES_MAX])
{
	const struct rollout_view rollout = cluster_view_rollout(s->service->core);
	unsigned sum = 0;

	memset(sums, 0, LANES_MAX * sizeof(*sums));
	for (unsigned i = 0; i < s->count; i++) {
		const struct lane *lane = &s->lanes[i];
		const unsigned ready = ready_at(s, l, lane);
		const struct listener_socket *k =
			ready > 0 && (any || (!lane->muted && !is_left_out(lane, &rollout)))
			? steer_socket(l, lane)
			: NULL;

		if (k == NULL || (lane->seated && !is_socket_used(l, k)))
			continue;
		sums[k->place] += ready;
		sum += ready;
	}
	return sum;
}

/* Does a spare listen on the socket?  The spare would take clients at once. */
static bool has_spare(const struct steer *s, const struct listener_socket *k)
{
	const struct child *child;

	for_each_child (child, children_of(s->service))
		if (child->trap.spare_listens && child->traffic.lane == k->lane)
			return true;
	return false;
}

/* Does the socket get a share although no worker is ready?  All sockets with a seat do: one of
 * their workers will be ready. */
static bool gets_share_unready(
	const struct steer *s, const struct listener *l, const struct listener_socket *k)
{
	return s->seats > 0 ? is_socket_used(l, k) && !has_spare(s, k) &&
			steer_is_needed(s, l, k, in_force(s), next_generation(s))
			    : k == group_socket(l, steer_lane_of(s, in_force(s)));
}

enum spread steer_spread(const struct steer *s, const struct listener *l)
{
	const struct cluster_settings *settings = cluster_settings(s->service->core);

	if (l->facts.type == SOCK_DGRAM && settings->sticky == STICKY_OFF)
		return SPREAD_FLOWS;
	if (settings->sticky != STICKY_OFF)
		return SPREAD_CLIENTS;
	return settings->balance == BALANCE_RANDOM ? SPREAD_CHANCE : SPREAD_TURNS;
}

/* True: the way in which the kernel spreads connections has changed. */
static bool set_spread(const struct steer *s, struct listener *l)
{
	enum spread spread = s->seats == 0 ? SPREAD_LANES : steer_spread(s, l);
	bool counted = s->seats > 0 && l->facts.type == SOCK_STREAM &&
		cluster_settings(s->service->core)->max_requests != 0;
	bool changed = l->spread != spread || l->seats != s->seats || l->counted != counted;

	l->counted = counted;
	l->spread = spread;
	l->seats = s->seats;
	for (unsigned i = 0; i < s->count; i++) {
		struct listener_socket *k = group_own(l, s->lanes[i].id);

		if (k != NULL && s->lanes[i].seated)
			k->seat = s->lanes[i].seat;
	}
	return changed;
}

void steer_share_out(const struct steer *s, struct listener *l, bool changed)
{
	unsigned sums[LANES_MAX];
	bool nobody;

	if (l->sockets == NULL)
		return;
	nobody = count_ready(s, l, false, sums) == 0 && /* only muted lanes are left */
		count_ready(s, l, true, sums) == 0;
	changed |= set_spread(s, l);
	changed |= l->counted && l->turns == NULL; /* the listener did not listen yet */
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		changed |= group_weigh(
			k, nobody ? (gets_share_unready(s, l, k) ? 1 : 0) : sums[k->place]);
	if (changed)
		group_apply(l);
}

/* ---- old sockets ---- */

/*
 * Do connections wait in a socket whose workers have all died, as happens mostly with a new
 * release? Only a process that has this socket can take the connections, so the next worker gets
 * the socket. The kernel moves connections to another socket only for a process that may load eBPF.
 */
bool steer_is_orphaned(const struct steer *s, const struct lane *lane)
{
	struct listener_walk walk = listeners_of(s->service, LISTENERS_ALL);
	const struct listener *l;

	while (lane->workers == 0 && (l = listener_next(&walk)) != NULL) {
		const struct listener_socket *k = group_socket(l, lane->id);

		if (group_size(l) > 1 && !steer_has_workers(s, l, k) && group_has_queue(l, k))
			return true;
	}
	return false;
}

/* Closes sockets that no worker has or will have.  If possible, the last worker of such a socket
 * was kept until the socket's queue was empty.  Otherwise the queue is moved or, after ORPHAN_MAX,
 * reset.  True: such a socket is still open, look again. */
static bool close_old_sockets(struct steer *s, struct listener *l)
{
	struct listener_socket *after = NULL;
	bool waiting = false;
	nsec_t now = clock_now();

	for (struct listener_socket *k = l->sockets; k != NULL; k = after) {
		after = k->next;
		if (k->weight > 0 || group_size(l) == 1 ||
			steer_is_needed(s, l, k, in_force(s), next_generation(s)))
			continue;
		if (!steer_is_among_us(s, l))
			waiting = true;
		else if (group_is_dry(l, k) || now - k->away >= ORPHAN_MAX)
			group_close(l, k, false);
		else if (!group_move_queue(l, k))
			waiting = true;
	}
	return waiting;
}

/* Do only starting workers of a seat have the socket?  They take from it soon. */
static bool has_only_starting(const struct steer *s, const struct listener_socket *k)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].seated && s->lanes[i].id == k->lane)
			return s->lanes[i].draining == 0;
	return false;
}

static void wake_unweighted(const struct steer *s, struct listener *l)
{
	if (group_size(l) == 1 || l->own_group)
		return;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		if (k->weight == 0 && k->served && steer_has_workers(s, l, k) &&
			!has_only_starting(s, k))
			group_wake_unweighted(l, k);
}

/* ---- looking again ---- */

/* Have clients waited at each look for the generation that alone gets connections?  Its workers
 * then cannot take all clients, such as many short connections of HTTP/1. */
static bool is_crowded(struct steer *s, unsigned lane, nsec_t now)
{
	struct listener *l;
	bool waits = false;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		waits |= l->sockets != NULL && group_has_queue(l, group_socket(l, lane));
	if (!waits)
		s->queue_empty_at = now;
	return now - s->queue_empty_at >= CROWDED_AFTER;
}

static void mute_lanes(struct steer *s)
{
	nsec_t now = clock_now();
	unsigned to = steer_lane_of(s, next_generation(s));

	s->new_alone = s->new_alone && next_generation(s) != in_force(s) && !is_crowded(s, to, now);
	for (unsigned i = 0; i < s->count; i++) {
		struct lane *lane = &s->lanes[i];

		lane->muted = lane->draining > 0 &&
			(s->mute_at_once || lane->muted ||
				now - lane->draining_since >= PRESS_AFTER);
		s->mute_at_once |= lane->muted;
		lane->muted |= s->new_alone && lane->id != to;
	}
}

static bool anybody_drains(const struct steer *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->lanes[i].draining > 0)
			return true;
	return false;
}

bool steer_spreads(const struct service *service, unsigned generation)
{
	const struct recipe *r = recipe_of(service, generation);

	if (imbalance_spreads(service, generation))
		return true;
	if (r != NULL)
		return recipe_spreads(r);
	return settings_spread(cluster_settings(service->core));
}

static unsigned count_seats(const struct steer *s)
{
	const struct service *service = s->service;
	/* spares come and go in other slots, which count as well */
	unsigned wanted = cluster_wanted(service->core) + cluster_spares(service->core);

	if (!steer_spreads(service, in_force(s)) && !steer_spreads(service, next_generation(s)))
		return 0;
	return wanted < SEATS_MAX ? wanted : SEATS_MAX;
}

void steer_drop_lanes(struct steer *s)
{
	unsigned kept = 0;

	s->seats = count_seats(s);
	steer_forget_before(s, in_force(s));
	for (unsigned i = 0; i < s->count; i++)
		if (steer_is_live(s, &s->lanes[i], in_force(s), next_generation(s)) ||
			steer_is_orphaned(s, &s->lanes[i]))
			s->lanes[kept++] = s->lanes[i];
	s->count = kept;
}

/* Something has changed: adjusts shares, closes old sockets, arms the timer. */
static void steer_look(struct steer *s)
{
	struct listener_walk walk = listeners_of(s->service, LISTENERS_ALL);
	struct listener *l;
	bool waiting = false;

	mute_lanes(s);
	if (next_generation(s) == in_force(s))
		steer_move_home(s, steer_lane_of(s, in_force(s)));
	steer_drop_lanes(s);
	while ((l = listener_next(&walk)) != NULL)
		steer_share_out(s, l, false);
	walk = listeners_of(s->service, LISTENERS_ALL);
	while ((l = listener_next(&walk)) != NULL)
		waiting |= close_old_sockets(s, l);
	waiting |= anybody_drains(s) || s->new_alone;
	if (!waiting) {
		s->interval = LOOK_FIRST;
	} else if (!ev_is_active(&s->timer)) {
		timer_arm(s->service->sup->loop, &s->timer, s->interval);
	}
}

/* Something has changed: looks now, and more often for a while. */
static void look_soon(struct steer *s)
{
	s->interval = LOOK_FIRST;
	s->look_next_turn = false;
	if (ev_is_active(&s->timer))
		ev_timer_stop(s->service->sup->loop, &s->timer);
	steer_look(s);
}

void steer_look_next_turn(struct steer *s)
{
	s->look_next_turn = true;
	timer_arm(s->service->sup->loop, &s->timer, 0);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct steer *s = timer->data;
	struct listener *l;

	(void)loop;
	(void)revents;
	if (s->look_next_turn) {
		look_soon(s);
		return;
	}
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		wake_unweighted(s, l);
	s->interval = s->interval < LOOK_EVERY / 2 ? s->interval * 2 : LOOK_EVERY;
	steer_look(s);
}

/* ---- workers ---- */

static void set_worker_state(struct steer *s, struct child *child, bool takes, bool drains)
{
	struct lane *lane = steer_find_lane(s, child->traffic.lane);

	if (lane == NULL)
		return;
	lane->ready += (takes ? 1U : 0U) - (child->traffic.takes ? 1U : 0U);
	if (drains && lane->draining == 0)
		lane->draining_since = clock_now();
	lane->draining += (drains ? 1U : 0U) - (child->traffic.drains ? 1U : 0U);
	child->traffic.takes = takes;
	child->traffic.drains = drains;
}

void steer_on_born(struct child *child, struct birth *birth)
{
	struct steer *s = child->service->traffic.steer;
	struct lane *lane = s != NULL ? steer_find_lane(s, child->traffic.lane) : NULL;

	(void)birth;
	if (lane == NULL)
		return;
	child->traffic.in_lane = true;
	lane->workers++;
	if (lane->generation < child->generation)
		lane->generation = child->generation;
}

void steer_left(struct child *child)
{
	struct steer *s = child->service->traffic.steer;

	if (s == NULL || !child->traffic.in_lane)
		return;
	set_worker_state(s, child, false, false);
	steer_find_lane(s, child->traffic.lane)->workers--;
	child->traffic.in_lane = false;
	look_soon(s);
	steer_leave_seat(s, child->traffic.lane);
}

void steer_mute(struct child *child)
{
	struct steer *s = child->service->traffic.steer;

	if (s == NULL || !child->traffic.in_lane || s->mute_at_once)
		return;
	s->mute_at_once = true;
	look_soon(s);
}

void steer_goodbye(struct child *child)
{
	struct steer *s = child->service->traffic.steer;

	if (s == NULL || s->new_alone || !s->clients_stay || !child->traffic.in_lane ||
		child->traffic.lane == steer_lane_of(s, next_generation(s)))
		return;
	s->new_alone = true;
	s->queue_empty_at = clock_now();
	look_soon(s);
}

/* ---- rollouts ---- */

/* The first worker is ready.  New clients go to its socket at once, and then clients that wait at
 * sockets of dead workers are moved there. */
static void take_all_clients(struct steer *s)
{
	look_soon(s);
	for (unsigned i = 0; i < s->count; i++)
		steer_leave_seat(s, s->lanes[i].id);
}

static void note_worker(struct service *service, const struct report *r)
{
	struct steer *s = service->traffic.steer;
	struct child *child = child_find(service, r->slot, r->worker);

	if (child != NULL && r->kind == REPORT_READY)
		imbalance_begin(child);
	if (s == NULL || child == NULL || !child->traffic.in_lane)
		return;
	set_worker_state(s, child, r->kind == REPORT_READY,
		r->kind == REPORT_DRAINING ||
			(r->kind == REPORT_STOPPING && child->traffic.drains));
	if (r->kind == REPORT_READY && cluster_ready(service->core) == 1)
		take_all_clients(s);
	else if (r->kind == REPORT_READY)
		steer_look_next_turn(s);
	else
		look_soon(s);
}

void steer_on_report(struct service *service, const struct report *r)
{
	if (service->kind->by_connection)
		return; /* nclust itself accepts for the workers */
	switch (r->kind) {
	case REPORT_ROLLOUT_STARTED:
		imbalance_decide(service, r->generation);
		steer_begin(service, r->generation);
		service->traffic.asked_again = 0;
		break;
	case REPORT_READY:
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		note_worker(service, r);
		break;
	case REPORT_ROLLOUT_DONE:
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		if (service->traffic.steer != NULL)
			steer_look(service->traffic.steer);
		break;
	default:
		break;
	}
}

/* ---- taken over, or begun ---- */

/* Makes the state of steering without any lane. */
static struct steer *steer_new(struct service *service)
{
	struct steer *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->service = service;
	s->interval = LOOK_FIRST;
	timer_init(&s->timer, on_timer, s);
	service->traffic.steer = s;
	return s;
}

/* Counts the living workers into their lanes. */
static void count_workers(struct steer *s)
{
	struct child *child;

	for_each_child (child, children_of(s->service)) {
		enum slot_state state = child_view(child).state;

		if (child->traffic.in_lane)
			continue;
		steer_on_born(child, NULL);
		set_worker_state(s, child, state == SLOT_READY, state == SLOT_DRAINING);
	}
}

static void add_lanes(struct steer *s, struct listener *l)
{
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next) {
		k->served = true;
		steer_add_lane(s, k->lane);
	}
}

/* Maps a generation to the lane of its living workers. */
static void map_generation(struct steer *s, unsigned generation)
{
	const struct child *child;

	for_each_child (child, children_of(s->service))
		if (child->generation == generation)
			steer_map_found(s, generation, child->traffic.lane);
}

static void add_lane_of(struct steer *s, const struct child *child)
{
	struct lane *lane;

	steer_add_lane(s, child->traffic.lane);
	lane = steer_find_lane(s, child->traffic.lane);
	if (lane == NULL || !steer_spreads(s->service, child->generation))
		return;
	lane->seated = true;
	lane->seat = child->slot % SEATS_MAX;
}

struct steer *steer_begin_anew(struct service *service)
{
	const struct child *child;
	struct listener *l;
	unsigned generation = cluster_generation(service->core);
	unsigned first = generation > 64 ? generation - 64 : 0;
	struct steer *s = steer_new(service);

	if (s == NULL)
		return NULL;
	for_each_child (child, children_of(service))
		add_lane_of(s, child);
	for_each_listener (l, listeners_of(service, LISTENERS_ALL))
		add_lanes(s, l);
	if (s->count == 0)
		steer_add_lane(s, 0);
	for (unsigned g = first; g <= generation; g++)
		map_generation(s, g);
	if (s->mapping_count == 0)
		steer_map(s, 0, s->last_id);
	count_workers(s);
	return s;
}

void steer_on_adopted(struct service *service)
{
	struct listener *l;
	struct steer *s;

	if (service->kind->by_connection ||
		(!steer_is_busy(service) &&
			!steer_spreads(service, cluster_generation(service->core))))
		return;
	s = steer_begin_anew(service);
	if (s == NULL)
		return;
	s->seats = count_seats(s);
	for_each_listener (l, listeners_of(service, LISTENERS_ALL))
		steer_share_out(s, l, true);
	steer_look(s);
}

/* ---- what is known of it ---- */

void steer_on_reloaded(struct service *service)
{
	if (service->stage.live && service->traffic.steer != NULL)
		steer_look(service->traffic.steer);
}

void steer_on_given(const struct child *child, struct dealt *to)
{
	struct steer *s = child->service->traffic.steer;
	struct listener_walk walk = listeners_of(child->service, LISTENERS_IN_FORCE);
	const struct lane *lane = s != NULL && child->traffic.in_lane
		? steer_find_lane(s, child->traffic.lane)
		: NULL;
	struct listener *l;

	while (lane != NULL && lane->seated && (l = listener_next(&walk)) != NULL) {
		const struct listener_socket *k = group_own(l, lane->id);

		if (k == NULL)
			continue;
		if (turns_count(l) == 0)
			to->known = true;
		else
			to->error = errno;
		to->count += k->given;
		to->sharers = lane->ready > 0 ? lane->ready : 1;
	}
}

bool steer_is_busy(const struct service *service)
{
	struct listener_walk walk = listeners_of(service, LISTENERS_IN_FORCE);
	const struct listener *l = listener_next(&walk);

	while (l != NULL && group_size(l) == 1)
		l = listener_next(&walk);
	return l != NULL;
}

bool steer_is_rolling(const struct service *service)
{
	const struct steer *s = service->traffic.steer;
	struct rollout_view rollout = cluster_view_rollout(service->core);

	if (s != NULL && s->seats > 0)
		return rollout.under_way || anybody_drains(s);
	return steer_is_busy(service) &&
		(s == NULL || rollout.under_way || !cluster_is_settled(service->core) ||
			ev_is_active(&s->timer));
}

void steer_on_drop(struct service *service)
{
	if (service->traffic.steer == NULL)
		return;
	ev_timer_stop(service->sup->loop, &service->traffic.steer->timer);
	free(service->traffic.steer);
	service->traffic.steer = NULL;
}
