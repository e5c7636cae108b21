/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/drain.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "core/cluster.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/drain/drain_withdraw.h"
#include "supervisor/drain/hand_on.h"
#include "supervisor/drain/host.h"
#include "supervisor/drain/internal.h"
#include "supervisor/drain/steer.h"
#include "supervisor/drain/steer_open.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* After its stop signal the worker has this time to say goodbye to its clients. */
#define GOODBYE_PATIENCE (300 * MSEC)
/* Processes below a worker stay frozen for so long after the worker's stop signal. */
#define LEAVE_PATIENCE (30 * MSEC)

/* ---- life ---- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents);

/* NULL: out of memory. */
static struct drain *drain_new(struct child *child, nsec_t span)
{
	const struct service *service = child->service;
	struct drain *d = calloc(1, sizeof(*d));
	const struct listener *l;

	if (d == NULL)
		return NULL;
	d->child = child;
	d->traffic = &service->sup->traffic;
	d->began = d->handed_at = clock_now();
	d->until = nsec_add(d->began, span);
	d->wait = DRAIN_WAIT_FIRST;
	d->stay = DRAIN_STAY_FIRST;
	d->busy_least = UINT32_MAX;
	timer_init(&d->timer, on_timer, d);
	d->next = d->traffic->drains;
	d->traffic->drains = d;
	d->traffic->drain_count++;
	child->traffic.drain = d;
	for_each_listener (l, listeners_for(child, LISTENERS_ALL))
		if (l->has_key)
			drain_add_port(d, l->key.port);
	return d;
}

void drain_free(struct drain *d)
{
	struct traffic *all = d->traffic;

	drain_thaw(d);
	ev_timer_stop(d->child->service->sup->loop, &d->timer);
	drain_forget_processes(d);
	if (d->holds)
		courier_end_held(d->child, COURIER_LET_GO, 0);
	free(d->memory);
	free(d->ports);
	list_remove(all->drains, d);
	d->child->traffic.drain = NULL;
	d->child->traffic.busy = 0;
	free(d);
	all->drain_count--;
	if (all->drain_count > 0)
		return;
	connections_free(&all->seen);
	job_end(&all->helper);
}

void drain_arm(struct drain *d, nsec_t wait)
{
	timer_arm(d->child->service->sup->loop, &d->timer, wait);
}

/* ---- what is told ---- */

/* Publishes how the drain has ended, and counts it. */
static void conclude(struct drain *d, bool forced)
{
	const struct child *c = d->child;
	struct service *service = c->service;
	const nsec_t took = clock_now() - d->began;
	const struct news_number numbers[] = {
		{"took_ms", nsec_seconds(took) * 1e3},
		{"freezes", d->freezes},
		{"frozen_ms", nsec_seconds(drain_frozen_longest(d)) * 1e3},
		{"ended", d->ended},
		{"asked_again", d->asked},
		{"handed_on", d->handed},
		{"guessed", d->guessed + d->view.guessed},
		{"busy", d->view.busy},
		{"forced", forced},
	};
	char busy[600];
	char text[700];
	char age[16];

	if (forced)
		snprintf(text, sizeof(text), "by force: %u connection%s still busy: %s",
			d->view.busy, d->view.busy == 1 ? "" : "s",
			drain_busy_text(d, busy, sizeof(busy)));
	else if (took < SECOND)
		snprintf(text, sizeof(text), "in %.1f ms", nsec_seconds(took) * 1e3);
	else
		snprintf(text, sizeof(text), "in %s", text_age(age, took));
	news_say_numbers(c, forced ? LOG_WARN : LOG_DEBUG, "drained", numbers, COUNT_OF(numbers),
		"drained %s", text);
	service->traffic.guessed += d->guessed + d->view.guessed;
	service->traffic.busy += forced ? d->view.busy : 0;
	service->counters.drained++;
	service->counters.drains_forced += forced;
	service->counters.drain_time += took;
	d->concluded = true;
}

/* Where the worker may say goodbye to its clients, quiet connections have stayed open until the
 * stop signal.  A server that waits until these clients leave would not end, so the drain goes on
 * after the signal. */
static void go_on_after_signal(struct drain *d)
{
	if (!d->keeps_quiet && !d->holds) {
		drain_free(d);
		return;
	}
	drain_thaw(d);
	d->signalled = false;
	d->after_signal = true;
	d->began = clock_now();
	d->until = NSEC_NEVER;
	d->wait = DRAIN_WAIT_LAST;
	d->request_at = 0;
	d->freezes = 0;
	drain_arm(d, d->holds ? DRAIN_WAIT_LAST : GOODBYE_PATIENCE);
}

void drain_report(struct drain *d, bool forced)
{
	struct service *service = d->child->service;
	struct child *c = d->child;
	uint32_t slot = c->slot;
	uint64_t worker = c->worker;

	if (d->after_signal) {
		drain_free(d);
		return;
	}
	conclude(d, forced || d->view.unanswered > 0);
	if (d->view.blind && once_say(service->said, ONCE_BLIND))
		log_note("%s: the connections of its workers cannot be seen from "
			 "here: they get their stop signal at once",
			service->name);
	child_tell(c, EVENT_DRAINED, WHY_ITSELF);
	c = child_find(service, slot, worker);
	d = c != NULL ? c->traffic.drain : NULL; /* child_tell() may have freed the drain */
	if (d != NULL && !d->signalled && !d->after_signal)
		drain_free(d); /* the core no longer wants the drain */
}

static void on_timer(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct drain *d = timer->data;

	if (d->signalled)
		go_on_after_signal(d);
	else
		drain_await_moment(d);
}

/* ---- from outside ---- */

static void begin_drain(struct child *child, nsec_t span)
{
	struct drain *d;

	if (child->traffic.drain != NULL)
		return;
	d = drain_new(child, span);
	if (d == NULL) { /* no memory: the core's deadline ends it */
		log_worker(child, LOG_WARN, "out of memory: not drained");
		return;
	}
	/* a worker that somebody has stopped could not act on its signal */
	if (!child->life.paused && drain_is_stopped(child))
		thaw_tree(child->pid, child->pidfd);
	drain_arm(d, 0);
}

struct drain_view drain_glance(struct child *child, unsigned least)
{
	struct drain *d = child->traffic.drain == NULL ? drain_new(child, 0) : NULL;
	struct drain_view view = {.alive = 0};

	if (d == NULL)
		return view;
	drain_look(d);
	view = d->view;
	if (!d->own_handler)
		view.silent = 0;
	view.stubborn = least < UINT_MAX && !view.blind && !view.gone &&
		(view.alive >= least || d->catches_signal) && !drain_can_withdraw(d);
	drain_free(d);
	return view;
}

static struct child *only_worker_in(const struct service *service, uint32_t slot)
{
	struct child *const *in = service->children[slot];

	if (in[0] != NULL && in[1] != NULL)
		return NULL;
	return in[0] != NULL ? in[0] : in[1];
}

bool drain_comes_first(const struct service *service)
{
	return cluster_empties(service->core, cluster_generation(service->core));
}

/* Before a rollout picks its next slot: looks at workers in turn up to the first idle one and
 * reports each to the core, because busy workers take longer to drain. */
void drain_on_choose(struct service *service)
{
	nsec_t until = clock_now() + TURN_SPAN;
	struct rollout_view rollout = cluster_view_rollout(service->core);
	struct drain_view view = {.busy = 1};

	/* are there several workers to choose from, and will the rollout drain them? */
	if (service->accepting != NULL || cluster_state(service->core) == CLUSTER_STOPPING ||
		cluster_ready(service->core) <= 1 || !drain_comes_first(service) ||
		(rollout.under_way && rollout.of != cluster_wanted(service->core)))
		return;
	for (uint32_t i = 0; view.busy > 0 && i < service->child_slots; i++) {
		struct child *child = only_worker_in(service, i);
		struct event event = {.kind = EVENT_BUSY, .slot = i};

		if (child == NULL || child->traffic.drain != NULL ||
			(rollout.under_way && child->generation == rollout.to))
			continue;
		view = drain_glance(child, UINT_MAX);
		view.busy += view.late; /* a look that took too long has seen nothing */
		event.worker = child->worker;
		event.held = view.busy > 0;
		service_tell(service, &event);
		if (clock_now() >= until)
			break;
	}
}

/* The stop signal comes next: conclude a drain whose time is over. */
static void conclude_before_signal(struct drain *d)
{
	bool forced;

	if (d->concluded)
		return;
	drain_look(d);
	forced = !d->view.blind && d->view.busy > 0;
	if (d->until > d->began && (forced || !d->after_signal)) /* the core has stopped waiting */
		conclude(d, forced);
}

/* Sends the stop signal and continues the worker; reports connections that are still busy. */
static void send_stop_signal(struct child *child, int signal)
{
	struct drain *d = child->traffic.drain;

	if (d == NULL && cluster_settings(child->service->core)->drain == DRAIN_SIGNAL)
		d = drain_new(child, 0);
	if (d != NULL && !d->signalled)
		conclude_before_signal(d);
	if (d != NULL && d->frozen) {
		d->withdraw_at = 0;
		drain_withdraw(d, clock_now());
	}
	steer_goodbye(child);
	/* the worker alone is continued: those below stay frozen until it can have told them */
	if (d == NULL || !d->frozen || signal == SIGKILL ||
		pidfd_signal_main(child->pidfd, child->pid, signal) == -1)
		child_signal(child, signal);
	/* a stopped process handles no signal */
	child_signal(child, SIGCONT);
	if (d == NULL || d->signalled)
		return;
	d->signalled = true;
	if (d->process_count <= 1)
		drain_thaw(d);
	if (d->frozen)
		drain_arm(d, LEAVE_PATIENCE);
	else
		go_on_after_signal(d);
}

void drain_on_stop(struct child *child, int signal, nsec_t span)
{
	if (signal == 0)
		begin_drain(child, span);
	else
		send_stop_signal(child, signal);
}

void drain_on_dying(struct child *child)
{
	struct drain *d = child->traffic.drain;

	if (d == NULL)
		return;
	drain_thaw(d);
	courier_end_held(child, COURIER_ENDED, 0);
	d->holds = false;
	drain_free(d);
}

void drain_settle(struct supervisor *sup)
{
	for (struct drain *d = sup->traffic.drains; d != NULL; d = d->next)
		if (d->frozen) {
			drain_thaw(d);
			drain_arm(d, DRAIN_WAIT_LAST);
		}
	job_end(&sup->traffic.helper);
}

void drain_on_shutdown(struct supervisor *sup)
{
	while (sup->traffic.drains != NULL)
		drain_free(sup->traffic.drains);
	courier_end(sup);
	host_end(sup);
}

/* Chooses the worker's lane, which goes into the worker's environment and the state file. */
void drain_on_prepare(struct child *child, struct birth *birth)
{
	if (child->service->accepting != NULL)
		return;
	steer_choose_lane(child);
	birth->place.lane = child->traffic.lane;
}

void drain_on_go_on(struct supervisor *sup)
{
	struct child *child;

	/* A drain that was under way continues for the rest of its time. */
	for_each_child (child, children_of_all(sup)) {
		nsec_t left = child->service->accepting != NULL
			? -1
			: cluster_drain_left(
				  child->service->core, child->slot, child->worker, clock_now());

		if (left != -1)
			begin_drain(child, left);
	}
	courier_go_on(sup);
	host_go_on(sup);
}

void drain_on_gone(struct child *child)
{
	steer_left(child);
	if (child->service->accepting == NULL && child->pid != 0)
		steer_wake_others(child->service, child->traffic.lane);
}

/* An earlier nclust may have left the worker frozen. */
void drain_on_adopt(struct child *child, struct worker_fds *fds)
{
	if (fds->entry->phase == STATE_STOPPING)
		thaw_tree(child->pid, child->pidfd);
}
