/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/steer.h"

#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/drain/steer_open.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

/* Time for workers to become quiet before their socket gets no connections. */
#define PRESS_AFTER (300 * MSEC)
/* Old workers help the new generation when its clients have waited for so long. */
#define CROWDED_AFTER (200 * MSEC)
/* A queue that no worker takes from is reset after that, so that its clients can try again. */
#define ORPHAN_MAX (10 * SECOND)
#define LOOK_EVERY (100 * MSEC)
/* The first look is early: a client may wait for a worker to be woken. */
#define LOOK_FIRST (2 * MSEC)

/* ---- generations ---- */

static unsigned in_force(const struct steer *s)
{
	return cluster_generation(s->service->core);
}

static unsigned next_generation(const struct steer *s)
{
	return cluster_latest_generation(s->service->core);
}

unsigned steer_lane_of(const struct steer *s, unsigned generation)
{
	return generation >= s->next_generation ? s->next_lane : s->lane;
}

/* Without a rollout all new workers get one lane.  If its workers are gone, that is the latest lane
 * of a ready worker. */
static void settle_lane(struct steer *s)
{
	unsigned lane = steer_lane_of(s, in_force(s));
	const struct child *ready = NULL;
	const struct child *c;

	for_each_child (c, children_of(s->service))
		if (c->traffic.takes && (ready == NULL || c->traffic.lane > ready->traffic.lane))
			ready = c;
	if (ready != NULL && !steer_has_lane(s, lane))
		lane = ready->traffic.lane;
	s->lane = s->next_lane = lane;
}

/* ---- the workers of a socket ---- */

bool steer_has_lane(const struct steer *s, unsigned lane)
{
	return walk_find(c, child_next, children_of(s->service), c->traffic.lane == lane) != NULL;
}

/* Has a worker bound any socket?  A setting that names a port gives each slot a socket, but perhaps
 * one worker alone opens the port.  Then sockets that no worker has bound do not count. */
static bool is_bound(const struct listener *l)
{
	return list_find(k, l->sockets, k->bound) != NULL;
}

/* Does the worker take connections from a socket of the listener that it shares?  Some servers open
 * a port in one of their workers alone, whether a setting names it or not.  `port`: ports_bit(). */
static bool takes_shared(const struct child *child, const struct listener *l, uint64_t port)
{
	return learned_only(l) ? learned_has(child, l) : !ports_lacks(child, port);
}

/* Is the other generation alone to get new clients: by `surge = all`, or as clients stay? */
static bool is_left_out(
	const struct steer *s, const struct child *child, const struct rollout_view *rollout)
{
	return child->generation == rollout->to ? rollout->old_alone
						: rollout->new_alone || s->new_alone;
}

void steer_count_workers(const struct steer *s, struct listener *l)
{
	const struct rollout_view rollout = cluster_view_rollout(s->service->core);
	const uint64_t port = ports_bit(s->service, l);
	const bool bound = is_bound(l);
	const struct child *c;

	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next) {
		k->workers = k->ready = k->preferred = 0;
		k->draining = k->spare = false;
	}
	for_each_child (c, children_of(s->service)) {
		struct listener_socket *k = group_socket(l, c->traffic.lane);

		k->workers++;
		if (c->traffic.own && k->lane != c->traffic.lane)
			continue; /* its slot has no socket there */
		k->draining |= c->traffic.emptied != 0;
		k->spare |= c->trap.spare_listens && k->lane == c->traffic.lane;
		if (!c->traffic.takes ||
			!(c->traffic.own ? k->bound || !bound : takes_shared(c, l, port)))
			continue;
		k->ready++;
		if (!is_left_out(s, c, &rollout))
			k->preferred++;
	}
}

/* Is there a worker that has the socket, or will be one? */
static bool is_needed(
	const struct steer *s, const struct listener *l, const struct listener_socket *k)
{
	return k->workers > 0 || k == group_socket(l, steer_lane_of(s, in_force(s))) ||
		k == group_socket(l, steer_lane_of(s, next_generation(s))) ||
		(k->slot < s->slots && k->lane == steer_latest_lane(s, k->slot));
}

/* ---- shares of new connections ---- */

/* Who gets connections: each choice is for the case that the one before has nobody. */
enum choice {
	CHOICE_PREFERRED,
	CHOICE_READY,
	CHOICE_UNREADY,
};

static unsigned share_of(const struct steer *s, const struct listener *l,
	const struct listener_socket *k, enum choice choice)
{
	if (choice == CHOICE_PREFERRED) /* workers become quiet, if they get none */
		return s->mute_at_once && k->draining ? 0 : k->preferred;
	if (choice == CHOICE_READY)
		return k->ready;
	if (s->holds && group_own(l, LANE_WAITS) != NULL)
		return k->lane == LANE_WAITS;
	/* All sockets of slots get a share although no worker is ready: one of theirs will be. */
	if (s->slots > 0)
		return (k->bound || !is_bound(l)) && !k->spare && is_needed(s, l, k);
	return k == group_socket(l, steer_lane_of(s, in_force(s)));
}

static bool anybody_gets(const struct steer *s, const struct listener *l, enum choice choice)
{
	return list_find(k, l->sockets, share_of(s, l, k, choice) != 0) != NULL;
}

enum spread steer_spread(const struct steer *s, const struct listener *l)
{
	const struct cluster_settings *settings = cluster_settings(s->service->core);

	if (s->slots == 0)
		return SPREAD_SHARED;
	if (l->facts.type == SOCK_DGRAM && settings->sticky == STICKY_OFF)
		return SPREAD_FLOWS;
	if (settings->sticky != STICKY_OFF)
		return SPREAD_CLIENTS;
	return settings->balance == BALANCE_RANDOM ? SPREAD_CHANCE : SPREAD_TURNS;
}

void steer_share_out(const struct steer *s, struct listener *l, bool changed)
{
	enum choice choice = CHOICE_PREFERRED;
	enum spread spread;

	if (l->sockets == NULL)
		return;
	steer_count_workers(s, l);
	while (choice != CHOICE_UNREADY && !anybody_gets(s, l, choice))
		choice++;
	spread = steer_spread(s, l);
	changed |= l->spread != spread || l->slots != s->slots;
	l->spread = spread;
	l->slots = s->slots;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		changed |= group_weigh(k, share_of(s, l, k, choice));
	if (changed)
		group_apply(l);
}

/* ---- old sockets ---- */

bool steer_is_left(const struct steer *s, const struct listener_socket *k)
{
	return k->slot == SLOT_ALL ? k->workers == 0 : !steer_has_lane(s, k->lane);
}

/* Moves connections that wait in sockets which no worker has to other workers, if the kernel can do
 * that.  Else the next worker of the socket finds them there. */
static void rescue_queues(struct steer *s, struct listener *l)
{
	bool anybody = s->holds || cluster_ready(s->service->core) > 0;

	if (group_size(l) == 1) /* the kernel would reset them */
		return;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		if (k->weight == 0 && steer_is_left(s, k) && (anybody || !is_needed(s, l, k)) &&
			group_has_queue(l, k) && steer_is_among_us(s, l))
			group_rescue(l, k);
}

/* Closes sockets that no worker has or will have, when they are empty or, with what is left in
 * them, after ORPHAN_MAX.  True: such a socket is still open, look again. */
static bool close_old_sockets(struct steer *s, struct listener *l)
{
	struct listener_socket *after = NULL;
	bool waiting = false;
	nsec_t now = clock_now();

	for (struct listener_socket *k = l->sockets; k != NULL; k = after) {
		after = k->next;
		if (k->weight > 0 || group_size(l) == 1 || is_needed(s, l, k))
			continue;
		if (steer_is_among_us(s, l) && (group_is_dry(l, k) || now - k->away >= ORPHAN_MAX))
			group_close(l, k);
		else
			waiting = true;
	}
	return waiting;
}

/* Starting workers of a slot take from their socket soon. */
static void wake_unweighted(struct listener *l)
{
	if (group_size(l) == 1 || l->own_group)
		return;
	for (struct listener_socket *k = l->sockets; k != NULL; k = k->next)
		if (k->weight == 0 && k->served && k->workers > 0 &&
			(k->slot == SLOT_ALL || k->draining))
			group_wake_unweighted(l, k);
}

/* ---- looking again ---- */

/* No connection waits for the generation that alone gets connections. */
static void note_empty_queue(struct steer *s, unsigned lane)
{
	struct child *c;

	s->queue_empty_at = clock_now();
	for_each_child (c, children_of(s->service))
		if (c->traffic.lane == lane)
			c->traffic.starved = process_starved(c->pid);
}

/* For how long has a worker of it waited for a CPU since then?  The kernel counts a wait when it is
 * over, which is soon where many share the CPUs. */
static nsec_t longest_starved(const struct steer *s, unsigned lane)
{
	const struct child *c;
	nsec_t longest = 0;
	nsec_t starved;

	for_each_child (c, children_of(s->service)) {
		if (c->traffic.lane != lane || !c->traffic.takes)
			continue;
		starved = process_starved(c->pid) - c->traffic.starved;
		longest = starved > longest ? starved : longest;
	}
	return longest;
}

/* Have clients waited for it at each look?  Its workers then cannot take all clients, such as many
 * short connections of HTTP/1; or they had no CPU, and old workers would have none, either. */
static bool is_crowded(struct steer *s, unsigned lane)
{
	struct listener *l;
	bool waits = false;
	nsec_t span;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		waits |= l->sockets != NULL && group_has_queue(l, group_socket(l, lane));
	if (!waits)
		note_empty_queue(s, lane);
	span = clock_now() - s->queue_empty_at;
	return span >= CROWDED_AFTER && span - longest_starved(s, lane) >= CROWDED_AFTER;
}

/* Do sockets of workers that are emptied still get connections, and those of the old generation? */
static void look_at_mutes(struct steer *s)
{
	nsec_t now = clock_now();
	const struct child *c;

	s->new_alone = s->new_alone && next_generation(s) != in_force(s) &&
		!is_crowded(s, steer_lane_of(s, next_generation(s)));
	for_each_child (c, children_of(s->service))
		s->mute_at_once |=
			c->traffic.emptied != 0 && now - c->traffic.emptied >= PRESS_AFTER;
}

static bool anybody_drains(const struct steer *s)
{
	return walk_find(c, child_next, children_of(s->service), c->traffic.emptied != 0) != NULL;
}

bool steer_spreads(const struct service *service, unsigned generation)
{
	const struct recipe *r = recipe_of(service, generation);

	if (r != NULL)
		return recipe_spreads(r);
	r = recipe_of(service, cluster_generation(service->core));
	return settings_spread(cluster_settings(service->core), r != NULL ? r->runtime : NODE_NONE);
}

void steer_count_slots(struct steer *s)
{
	const struct service *service = s->service;
	/* spares come and go in other slots, which count as well */
	unsigned wanted = cluster_wanted(service->core) + cluster_spares(service->core);

	s->slots = wanted < SLOTS_MOST ? wanted : SLOTS_MOST;
	if (!steer_spreads(service, in_force(s)) && !steer_spreads(service, next_generation(s)))
		s->slots = 0;
}

/* Has a listener several sockets, or had it some? */
static bool has_sockets(const struct service *service)
{
	return walk_find(l, listener_next, listeners_of(service, LISTENERS_ALL),
		       l->sockets != NULL) != NULL;
}

/* Are clients to wait until a worker has passed its `ready` probe?  At most start-timeout, and not
 * while an old worker still takes them.  A command that was not seen to be led may ask as any client
 * does, and would wait, too. */
static bool wants_to_hold(struct steer *s)
{
	const struct cluster *core = s->service->core;
	const struct cluster_settings *settings = cluster_settings(core);
	const struct child *c;

	if (s->slots == 0 || cluster_ready(core) > 0 || settings->ready != READY_PROBE ||
		(settings->ready_probe.kind == PROBE_EXEC && !s->leads) ||
		cluster_state(core) == CLUSTER_STOPPING) {
		s->unready_since = 0;
		return false;
	}
	for_each_child (c, children_of(s->service))
		if (child_view(c).state == SLOT_DRAINING)
			return false;
	if (s->unready_since == 0)
		s->unready_since = clock_now();
	return clock_now() - s->unready_since < settings->start_timeout;
}

void steer_adjust(struct steer *s)
{
	bool wanted = wants_to_hold(s);
	bool opened = false;
	struct listener *l;

	s->holds = false; /* the new socket gets no share before it hears */
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		opened |= wanted && l->sockets != NULL && steer_open_waits(s, l);
	s->holds = opened;
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		steer_share_out(s, l, false);
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		rescue_queues(s, l);
}

/* Something has changed: adjusts shares, closes old sockets, arms the timer. */
static void steer_look(struct steer *s)
{
	struct listener *l;
	bool waiting = false;

	if (!has_sockets(s->service))
		return;
	look_at_mutes(s);
	if (next_generation(s) == in_force(s))
		settle_lane(s);
	steer_count_slots(s);
	steer_adjust(s);
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		waiting |= close_old_sockets(s, l);
	waiting |= anybody_drains(s) || s->new_alone || s->holds;
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
	if (ev_is_active(&s->timer))
		ev_timer_stop(s->service->sup->loop, &s->timer);
	steer_look(s);
}

void steer_look_next_turn(struct steer *s)
{
	s->interval = LOOK_FIRST;
	timer_arm(s->service->sup->loop, &s->timer, 0);
}

static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct steer *s = timer->data;
	struct listener *l;

	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL))
		wake_unweighted(l);
	s->interval = s->interval < LOOK_EVERY / 2 ? s->interval * 2 : LOOK_EVERY;
	steer_look(s);
}

struct steer *steer_of(struct service *service)
{
	struct steer *s = &service->traffic.steer;

	if (s->service != NULL)
		return s;
	s->service = service;
	s->interval = LOOK_FIRST;
	timer_init(&s->timer, on_timer, s);
	return s;
}

/* ---- workers ---- */

void steer_left(struct child *child)
{
	struct steer *s = steer_of(child->service);

	if (child->service->accepting != NULL || child->pid == 0)
		return;
	look_soon(s);
}

void steer_mute(struct child *child)
{
	struct steer *s = steer_of(child->service);

	if (s->mute_at_once || !steer_is_busy(child->service))
		return;
	s->mute_at_once = true;
	look_soon(s);
}

void steer_goodbye(struct child *child)
{
	struct steer *s = steer_of(child->service);

	if (s->new_alone || !s->clients_stay ||
		child->traffic.lane == steer_lane_of(s, next_generation(s)))
		return;
	s->new_alone = true;
	note_empty_queue(s, steer_lane_of(s, next_generation(s)));
	look_soon(s);
}

/* ---- rollouts ---- */

static void note_worker(struct service *service, const struct report *r)
{
	struct steer *s = steer_of(service);
	struct child *child = child_find(service, r->slot, r->worker);

	if (child == NULL)
		return;
	if (r->kind == REPORT_READY)
		child->traffic.ran = process_ran(child->pid);
	child->traffic.takes = r->kind == REPORT_READY;
	if (r->kind == REPORT_DRAINING)
		child->traffic.emptied = clock_now();
	if (!has_sockets(service))
		return;
	if (r->kind == REPORT_READY && cluster_ready(service->core) != 1) {
		steer_look_next_turn(s);
		return;
	}
	/* new clients go to the first worker's socket at once, and then clients that wait at sockets
	 * of dead workers are moved there */
	look_soon(s);
}

void steer_on_report(struct service *service, const struct report *r)
{
	if (service->accepting != NULL)
		return; /* nclust itself accepts for the workers */
	switch (r->kind) {
	case REPORT_ROLLOUT_STARTED:
		steer_begin(steer_of(service), r->generation);
		service->traffic.asked_again = service->traffic.busy = 0;
		service->traffic.handed_on = service->traffic.guessed = 0;
		break;
	case REPORT_READY:
	case REPORT_DRAINING:
	case REPORT_STOPPING:
		note_worker(service, r);
		break;
	case REPORT_ROLLOUT_DONE:
	case REPORT_ROLLOUT_FAILED:
	case REPORT_ROLLOUT_SUPERSEDED:
		steer_look(steer_of(service));
		break;
	default:
		break;
	}
}

/* ---- taken over ---- */

/* Notes what a worker does that was taken over. */
static void note_found(struct steer *s, struct child *child)
{
	enum slot_state state = child_view(child).state;
	struct listener *l;

	if (s->last_lane < child->traffic.lane)
		s->last_lane = child->traffic.lane;
	child->traffic.takes = state == SLOT_READY;
	child->traffic.emptied = state == SLOT_DRAINING ? clock_now() : 0;
	child->traffic.own = steer_spreads(s->service, child->generation);
	if (!child->traffic.own)
		return;
	for_each_listener (l, listeners_of(s->service, LISTENERS_ALL)) {
		struct listener_socket *k = group_own(l, child->traffic.lane);

		if (k != NULL)
			k->slot = child->slot % SLOTS_MOST;
	}
}

/* Returns the worker of the latest generation up to that in force; NULL: there is none. */
static const struct child *find_latest(const struct steer *s)
{
	const struct child *latest = NULL;
	const struct child *c;

	for_each_child (c, children_of(s->service))
		if (c->generation <= in_force(s) &&
			(latest == NULL || c->generation > latest->generation))
			latest = c;
	return latest;
}

void steer_on_adopted(struct service *service)
{
	struct steer *s = steer_of(service);
	const struct child *latest;
	struct child *child;
	struct listener *l;

	if (service->accepting != NULL)
		return;
	for_each_listener (l, listeners_of(service, LISTENERS_ALL))
		for (struct listener_socket *k = l->sockets; k != NULL; k = k->next) {
			k->served = true;
			if (s->last_lane < k->lane && k->lane != LANE_WAITS)
				s->last_lane = k->lane;
		}
	for_each_child (child, children_of(service))
		note_found(s, child);
	latest = find_latest(s);
	s->lane = s->next_lane = latest != NULL ? latest->traffic.lane : s->last_lane;
	steer_count_slots(s);
	if (s->slots == 0 && !steer_is_busy(service))
		return;
	steer_adjust(s);
	for_each_listener (l, listeners_of(service, LISTENERS_ALL))
		steer_share_out(s, l, true);
	steer_look(s);
}

/* ---- what is known of it ---- */

void steer_on_reloaded(struct service *service)
{
	service->traffic.steer.leads = false; /* it may be another command */
	if (service->stage.live && service->accepting == NULL)
		steer_look(steer_of(service));
}

bool steer_is_busy(const struct service *service)
{
	return walk_find(l, listener_next, listeners_of(service, LISTENERS_IN_FORCE),
		       group_size(l) > 1) != NULL;
}

bool steer_is_rolling(const struct service *service)
{
	const struct steer *s = &service->traffic.steer;
	struct rollout_view rollout = cluster_view_rollout(service->core);

	if (s->slots > 0)
		return rollout.under_way || anybody_drains(s);
	return steer_is_busy(service) &&
		(rollout.under_way || !cluster_is_settled(service->core) ||
			ev_is_active(&s->timer));
}

void steer_on_drop(struct service *service)
{
	ev_timer_stop(service->sup->loop, &steer_of(service)->timer);
}
