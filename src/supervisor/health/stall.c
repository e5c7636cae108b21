/* SPDX-License-Identifier: MIT */
#include "supervisor/health/stall.h"

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/hang.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"
#include "supervisor/health/sight.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOOKS 4 /* in the time after which it is hung */
#define WAIT_LEAST (250 * MSEC)
/* A timer that ticks in a program is no progress: allow it 1/HOUSEKEEPING of
 * the time, and one unit of /proc's clock. */
#define HOUSEKEEPING 100
#define CPU_UNIT (10 * MSEC)
/* The most time for looks in a turn. */
#define SLICE (2 * MSEC)
#define LATE (500 * MSEC)

struct staller {
	struct service *service;
	ev_timer look;
	nsec_t due;
	uint32_t cursor; /* the slot that is next; 0: a look begins */
	nsec_t wait;     /* the shortest of those that were looked at */
	bool refused_told;
};

static nsec_t stall_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->stall : 0;
}

/* ---- judging it ---- */

static void moved(
	struct health *h, const struct sight *sight, uint64_t print, nsec_t now)
{
	h->moved_at = now;
	h->moved_cpu = sight->cpu;
	h->moved_print = print;
}

static void unwell(struct child *child, nsec_t time)
{
	char age[16];

	child->health->moved_at = 0; /* anew: it may have to stay */
	news_say(child->service->sup, LOG_WARN, "stalled",
		"%s.%" PRIu32
		": worker %d has requests waiting and has made no "
		"progress for %s",
		child->service->name, child->slot, (int)child->pid,
		text_age(age, time));
	child_tell(child, EVENT_UNWELL, WHY_STALL);
}

static void tell_refused(struct staller *st)
{
	if (st->refused_told)
		return;
	st->refused_told = true;
	news_say(st->service->sup, LOG_WARN, "stall-refused",
		"%s: nclust may not look at its workers' connections, so "
		"'stall' cannot be seen",
		st->service->name);
}

static void judge(struct staller *st, struct child *child, nsec_t now)
{
	struct health *h = health_of(child);
	struct sight sight = {.cpu = 0};
	uint64_t print;
	bool waits;

	if (h == NULL)
		return;
	if (!health_is_ready(child)) {
		h->moved_at = 0;
		return;
	}
	sight_processes(&sight, child);
	if (h->moved_at == 0 || sight.traced ||
		sight.cpu > h->moved_cpu + CPU_UNIT +
				(now - h->moved_at) / HOUSEKEEPING) {
		moved(h, &sight, 0, now);
		return;
	}
	sight_connections(&sight, child);
	print = sight_print(&sight);
	waits = sight_any_waits(&sight);
	if (sight.all.refused)
		tell_refused(st);
	sight_free(&sight);
	if (!waits || print != h->moved_print)
		moved(h, &sight, print, now);
	else if (now - h->moved_at >= stall_of(child))
		unwell(child, now - h->moved_at);
}

/* ---- looking ---- */

static void forget_one(struct child *child, void *context)
{
	(void)context;
	if (child->health == NULL)
		return;
	child->health->moved_at = 0;
	child->health->hang_cookie = 0;
}

static void arm(struct staller *st, nsec_t wait)
{
	st->due = nsec_add(clock_now(), wait);
	timer_arm(st->service->sup->loop, &st->look, wait);
}

/* The slot's workers; true: one of them is to be looked at. */
static bool look_at_slot(struct staller *st, uint32_t slot, nsec_t now)
{
	bool any = false;

	for (int k = 0; k < 2; k++) {
		struct child *child = st->service->children[slot][k];
		nsec_t stall = child != NULL ? stall_of(child) : 0;
		nsec_t patience = child != NULL ? hang_patience(child) : 0;

		any |= stall != 0 || patience != 0;
		if (patience != 0) {
			st->wait = nsec_min(st->wait, patience / HANG_LOOKS);
			hang_look(child, now);
			/* the core may have let it go */
			child = st->service->children[slot][k];
		}
		if (stall != 0 && child != NULL) {
			st->wait = nsec_min(st->wait, stall / LOOKS);
			judge(st, child, now);
		}
	}
	return any;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct staller *st = timer->data;
	nsec_t now = clock_now();
	nsec_t until = now + SLICE;

	(void)loop;
	(void)revents;
	if (now > st->due + LATE) /* nclust itself stood still, and they? */
		children_each(st->service->sup, st->service, forget_one, NULL);
	if (st->cursor == 0)
		st->wait = NSEC_NEVER;
	while (st->cursor < st->service->child_slots) {
		(void)look_at_slot(st, st->cursor++, now);
		if (clock_now() > until) {
			arm(st, 0);
			return;
		}
	}
	st->cursor = 0;
	if (st->wait == NSEC_NEVER)
		return; /* nobody is left */
	arm(st, st->wait > WAIT_LEAST ? st->wait : WAIT_LEAST);
}

/* ---- life ---- */

static void note_wanted(struct child *child, void *context)
{
	*(bool *)context |= stall_of(child) != 0 || hang_patience(child) != 0;
}

void stall_begin(struct service *service)
{
	struct staller *st = service->asks.staller;
	bool wanted = false;

	children_each(service->sup, service, note_wanted, &wanted);
	if (!wanted)
		return;
	if (st == NULL) {
		st = calloc(1, sizeof(*st));
		if (st == NULL)
			return;
		st->service = service;
		ev_init(&st->look, on_look);
		st->look.data = st;
		service->asks.staller = st;
	}
	if (!ev_is_active(&st->look))
		arm(st, WAIT_LEAST);
}

void stall_free(struct service *service)
{
	struct staller *st = service->asks.staller;

	if (st == NULL)
		return;
	ev_timer_stop(service->sup->loop, &st->look);
	free(st);
	service->asks.staller = NULL;
}
