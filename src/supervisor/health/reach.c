/* SPDX-License-Identifier: MIT */
#include "supervisor/health/health.h"

#include "os/clock.h"
#include "supervisor/common/registry.h"
#include "supervisor/health/internal.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Time to the next batch: none after a batch that has reached a worker, else longer and longer,
 * so that nclust spends little on workers that cannot be reached. */
#define WAIT_LEAST (2 * MSEC)
#define WAIT_MOST (128 * MSEC)

/* Reaching all workers takes at most so many times the patience for one. */
#define REACHES_MOST 7

struct reacher {
	struct probe_batch batch;
	struct reach *first;
	nsec_t wait;
	bool reached_any; /* the last batch has reached a wanted worker */
	bool may_be_left; /* connections that nobody has taken may be left */
};

/* A connection that will be handed on is opened like that of a check by HTTP. */
static const struct probe probe = {.kind = PROBE_HTTP, .text = (char *)"/"};

static struct reacher *reacher_of(const struct service *service)
{
	return (struct reacher *)service->asks.of[ASKS_REACH];
}

/* By a path a worker's user could lead root's connection to another program. */
static bool is_not_unix(const struct listener *l)
{
	return l->facts.family != AF_UNIX;
}

/* ---- who is wanted ---- */

bool reach_wants(const struct reach *r, const struct child *child)
{
	if (child->slot >= r->slots || r->reached[child->slot])
		return false;
	return r->slot == SLOT_ALL ? health_is_ready(child) : r->slot == child->slot;
}

/* Returns who wants to reach this worker.  A byte that was sent must be theirs. */
static struct reach *find_caller(const struct reacher *x, const struct child *child, bool byte_sent)
{
	for (struct reach *r = x->first; r != NULL; r = r->next)
		if (reach_wants(r, child) && (!byte_sent || r->first == x->batch.first))
			return r;
	return NULL;
}

static const struct probe *probe_to_send(const struct child *child)
{
	const struct reacher *x = reacher_of(child->service);
	bool deferred = x->batch.target.deferred;

	return find_caller(x, child, deferred) != NULL ? &probe : NULL;
}

static void hand_on(struct child *child, int fd, size_t sent)
{
	struct reacher *x = reacher_of(child->service);
	struct reach *r = find_caller(x, child, sent > 0);

	if (r == NULL || !r->got(r, child, fd, sent))
		return;
	r->reached[child->slot] = true;
	r->until = nsec_min(nsec_add(clock_now(), r->patience), r->most);
	x->reached_any = true;
	x->wait = WAIT_LEAST;
	monitor_arm(&x->batch.monitor, 0);
}

/* ---- a step ---- */

static bool is_reach_over(const struct reach *r, nsec_t now)
{
	const struct child *child;

	if (now >= r->until)
		return true;
	if (r->slot != SLOT_ALL)
		return r->slot < r->slots && r->reached[r->slot];
	for_each_child (child, children_of(r->service))
		if (reach_wants(r, child))
			return false;
	return true;
}

/* How many connections to open: as many as there are workers, because an idle worker that is awake
 * wakes no other; fewer if connections wait already, because a worker that hangs must not get more
 * and more. */
static unsigned count_to_open(const struct reacher *x, const struct listener *l)
{
	const struct service *s = x->batch.monitor.service;
	struct child_walk walk = children_of(s);
	struct queue_facts queue;
	long count = 0;
	long most;

	while (count < BATCH_MAX && child_next(&walk) != NULL)
		count++;
	if (l == NULL || !is_not_unix(l))
		return 0;
	group_queue(l, &queue);
	if (queue.depth < 0 && count > 0)
		return 1; /* the queue's length is not known */
	most = queue.limit > 0 ? queue.limit / 2 : BATCH_MAX;
	if (count == 0 || queue.depth >= BATCH_MAX || queue.depth > most)
		return 0;
	most = (count < most ? count : most) - queue.depth;
	return most > 1 ? (unsigned)most : 1;
}

/* The listener at which the next wanted worker can be asked. */
static const struct listener *find_next_listener(const struct reacher *x)
{
	const struct child *next = NULL;
	const struct child *child;

	for_each_child (child, children_of(x->batch.monitor.service))
		if (find_caller(x, child, false) != NULL)
			next = batch_next(&x->batch, next, child);
	return next != NULL ? check_target_of(next) : NULL;
}

static void open_batch(struct reacher *x)
{
	struct probe_batch *v = &x->batch;
	const struct listener *l = find_next_listener(x);
	unsigned count = count_to_open(x, l);
	struct error err;

	x->wait = x->reached_any ? WAIT_LEAST : nsec_min(2 * x->wait, WAIT_MOST);
	x->reached_any = false;
	if (v->first != x->first->first)
		batch_stop(v); /* these connections were sent another first byte */
	v->first = x->first->first;
	if (count > 0)
		(void)batch_fire(
			v, l, cluster_settings(v->monitor.service->core), &probe, count, &err);
}

static void reach_workers(struct monitor *a, nsec_t now)
{
	struct reacher *x = (struct reacher *)a;
	struct reach *next;

	for (struct reach *r = x->first; r != NULL; r = next) {
		next = r->next;
		if (is_reach_over(r, now))
			r->over(r);
	}
	if (x->first == NULL)
		return;
	open_batch(x);
	monitor_arm(a, x->wait);
}

static bool is_wanted_by_settings(const struct child *child)
{
	(void)child;
	return false; /* no setting asks for it */
}

const struct monitor_kind reach_kind = {
	.size = sizeof(struct reacher),
	.wants = is_wanted_by_settings,
	.step = reach_workers,
	.probe = probe_to_send,
	.taken = hand_on,
};

/* ---- life ---- */

int reach_begin(struct reach *r, struct service *service, struct error *err)
{
	const struct listener *l = check_target_next(service, r->slot != SLOT_ALL ? r->slot : 0);
	struct reacher *x;
	struct check_target target;

	if (service->kind->by_connection)
		return error_set(err, 0,
			"'%s' has a process for each connection: there is no "
			"worker to ask",
			service->name);
	if (check_target_at(&target, l, err) == -1)
		return error_wrap(err, "%s", service->name);
	if (!is_not_unix(l))
		return error_set(err, 0,
			"%s: its workers can be asked over TCP only, and its "
			"first listener is a unix socket",
			service->name);
	x = (struct reacher *)monitor_of(service, ASKS_REACH);
	r->service = service;
	r->until = nsec_add(clock_now(), r->patience);
	r->most = nsec_add(clock_now(), REACHES_MOST * r->patience);
	r->slots = service->child_slots;
	r->reached = calloc(r->slots + 1, sizeof(*r->reached));
	if (x == NULL || r->reached == NULL) {
		free(r->reached);
		return error_set(err, ENOMEM, "%s", service->name);
	}
	memcpy(r->host, target.host, sizeof(r->host));
	r->next = x->first;
	x->first = r;
	x->wait = WAIT_LEAST;
	x->may_be_left = true;
	monitor_arm(&x->batch.monitor, 0);
	return 0;
}

void reach_end(struct reach *r)
{
	struct reacher *x = reacher_of(r->service);
	struct reach **at = &x->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	free(r->reached);
	r->reached = NULL;
	if (x->first == NULL)
		batch_stop(&x->batch);
}

bool reach_may_wait(const struct service *service)
{
	const struct reacher *x = reacher_of(service);

	return x != NULL && x->may_be_left;
}

void reach_cleared(const struct service *service)
{
	struct reacher *x = reacher_of(service);

	if (x != NULL && x->first == NULL)
		x->may_be_left = false;
}

void reach_drop(struct service *service)
{
	struct reacher *x = reacher_of(service);
	struct reach *r;

	while (x != NULL && (r = x->first) != NULL)
		r->over(r);
}
