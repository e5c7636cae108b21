/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"
#include "base/nsec.h"

#include "os/clock.h"
#include "supervisor/common/timer.h"

#include <stdlib.h>

/* If the timer comes later than that, nclust itself stood still. */
#define LATE (500 * MSEC)

static const struct monitor_kind *const kinds[MONITORS] = {
	[ASKS_PROBE] = &probe_kind,
	[ASKS_STALL] = &stall_kind,
	[ASKS_MEMORY] = &memory_kind,
	[ASKS_COUNT] = &count_kind,
};

void monitor_arm(struct monitor *a, nsec_t wait)
{
	a->due = nsec_add(clock_now(), wait > 0 ? wait : 0);
	timer_arm(a->service->sup->loop, &a->timer, wait);
}

void monitor_late(struct monitor *a, nsec_t due, nsec_t now)
{
	if (due < a->lost_until)
		due = a->lost_until;
	if (due >= now)
		return;
	a->lost += now - due;
	a->lost_until = now;
}

static void look_at_workers(struct monitor *a, nsec_t now)
{
	nsec_t wait = NSEC_NEVER;
	struct child *child;

	for_each_child (child, children_of(a->service))
		if (a->kind->wants(child))
			wait = nsec_min(wait, a->kind->look(child, now));
	if (wait != NSEC_NEVER) /* else no worker needs a look */
		monitor_arm(a, wait > a->kind->first ? wait : a->kind->first);
}

static void forget_workers(struct monitor *a)
{
	struct child *child;

	for_each_child (child, children_of(a->service))
		a->kind->forget(child);
	if (a->kind == &probe_kind)
		prober_stop((struct prober *)a, false);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct monitor *a = timer->data;
	nsec_t now = clock_now();

	(void)loop;
	(void)revents;
	monitor_late(a, a->due, now);
	if (now > a->due + LATE && a->kind->forget != NULL)
		forget_workers(a);
	if (a->kind->look != NULL)
		look_at_workers(a, now);
	else
		a->kind->step(a, now);
}

struct monitor *monitor_of(struct service *service, enum asks_for which)
{
	struct monitor *a = service->asks.of[which];

	if (a != NULL)
		return a;
	a = calloc(1, which == ASKS_PROBE ? sizeof(struct prober) : sizeof(*a));
	if (a == NULL)
		return NULL;
	a->kind = kinds[which];
	a->service = service;
	timer_init(&a->timer, on_timer, a);
	if (which == ASKS_PROBE)
		prober_init((struct prober *)a);
	service->asks.of[which] = a;
	return a;
}

static bool is_needed(const struct service *service, const struct child *only, enum asks_for which)
{
	const struct child *child;

	if (only != NULL)
		return kinds[which]->wants(only);
	for_each_child (child, children_of(service))
		if (kinds[which]->wants(child))
			return true;
	return false;
}

void monitor_begin(
	struct service *service, const struct child *only, enum asks_for which, nsec_t wait)
{
	struct monitor *a = service->asks.of[which];

	if (a == NULL && is_needed(service, only, which))
		a = monitor_of(service, which);
	if (a == NULL)
		return;
	a->since = clock_now();
	if (wait < a->kind->first)
		wait = a->kind->first;
	/* the timer may be set for older workers, and be late for a new one */
	if (!ev_is_active(&a->timer) || a->due > nsec_add(a->since, wait))
		monitor_arm(a, wait);
}

void monitors_free(struct service *service)
{
	for (unsigned i = 0; i < MONITORS; i++) {
		struct monitor *a = service->asks.of[i];

		if (a == NULL)
			continue;
		if (i == ASKS_PROBE)
			prober_stop((struct prober *)a, true);
		ev_timer_stop(service->sup->loop, &a->timer);
		free(a);
		service->asks.of[i] = NULL;
	}
}
