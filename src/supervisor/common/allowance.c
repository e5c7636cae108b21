/* SPDX-License-Identifier: MIT */
#include "supervisor/common/allowance.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/vfork.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"

#include <stdlib.h>

/* How far costs may be ahead of what comes back: 1 s of a worker's, 2 s of a cluster's.  An honest
 * worker that starts on a slow machine does not reach this. */
#define AHEAD_MOST (10 * SECOND)
#define REST_LEAST (500 * MSEC)
#define WORKER_PART 10 /* a tenth of the time that passes is given back */
#define CLUSTER_PART 5

/* Runs while nclust does not read some of the descriptors by which a worker asks. */
struct rests {
	ev_timer timer;
	struct child *child;
	allowance_rest *list[4]; /* NULL: free */
};

/* The entry of that rest, or NULL. */
static allowance_rest **find_rest(const struct child *child, allowance_rest *rest)
{
	struct rests *r = child->allowance.rests;

	return r != NULL ? array_find(its, r->list, COUNT_OF(r->list), *its == rest) : NULL;
}

static void on_rest_over(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct rests *r = timer->data;

	r->child->allowance.rests = NULL;
	for (unsigned i = 0; i < COUNT_OF(r->list); i++)
		if (r->list[i] != NULL)
			r->list[i](r->child, true);
	free(r);
}

static bool begin_rest(struct child *child, allowance_rest *rest)
{
	struct rests *r = child->allowance.rests;

	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return false; /* the next call tries again */
		timer_init(&r->timer, on_rest_over, r);
		r->child = child;
		child->allowance.rests = r;
	}
	*find_rest(child, NULL) = rest;
	return true;
}

nsec_t allowance_begin(void)
{
	return clock_worked() + vfork_slept();
}

bool allowance_is_ample(const struct child *child)
{
	return child->allowance.whole_at - clock_now() <= AHEAD_MOST / 2;
}

bool allowance_rests(const struct child *child, allowance_rest *rest)
{
	return find_rest(child, rest) != NULL;
}

/* Returns how long the worker has to wait; 0: the allowance is not used up. */
static nsec_t charge_cost(nsec_t *whole_at, nsec_t now, nsec_t cost)
{
	*whole_at = (*whole_at > now ? *whole_at : now) + cost;
	return *whole_at - now < AHEAD_MOST ? 0 : *whole_at - now - AHEAD_MOST + REST_LEAST;
}

void allowance_end(struct child *child, allowance_rest *rest, nsec_t begun, const char *what)
{
	struct service *service = child->service;
	nsec_t now = clock_now();
	nsec_t cost = allowance_begin() - begun;
	nsec_t alone = charge_cost(&child->allowance.whole_at, now, cost * WORKER_PART);
	nsec_t together = charge_cost(&service->life.whole_at, now, cost * CLUSTER_PART);

	if ((alone == 0 && together == 0) || allowance_rests(child, rest) ||
		!begin_rest(child, rest))
		return;
	if (alone > 0 && once_say(child->said, ONCE_GREEDY_WORKER))
		log_worker(child, LOG_WARN,
			"worker %d %s so much that it keeps nclust busy: "
			"nclust now spends at most a tenth of a CPU on it",
			(int)child->pid, what);
	if (together > 0 && once_say(service->said, ONCE_GREEDY_CLUSTER))
		log_warn("%s: its workers together keep nclust busy: nclust "
			 "now spends at most two tenths of a CPU on them",
			service->name);
	timer_arm(service->sup->loop, &child->allowance.rests->timer,
		alone > together ? alone : together);
	rest(child, false);
}

void allowance_stop(struct child *child, allowance_rest *rest)
{
	allowance_rest **entry = find_rest(child, rest);

	if (entry == NULL)
		return;
	*entry = NULL;
	for (unsigned i = 0; i < COUNT_OF(child->allowance.rests->list); i++)
		if (child->allowance.rests->list[i] != NULL)
			return;
	ev_timer_stop(child->service->sup->loop, &child->allowance.rests->timer);
	free(child->allowance.rests);
	child->allowance.rests = NULL;
}
