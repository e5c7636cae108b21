/* SPDX-License-Identifier: MIT */
#include "supervisor/common/allowance.h"

#include "base/log.h"
#include "os/clock.h"
#include "supervisor/common/state.h"
#include "supervisor/common/timer.h"

#include <inttypes.h>

static void on_rest(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)revents;
	ev_io_start(loop, timer->data);
}

void allowance_init(struct allowance *a, ev_io *watcher)
{
	*a = (struct allowance){0};
	ev_init(&a->rest, on_rest);
	a->rest.data = watcher;
}

nsec_t allowance_begin(void)
{
	return clock_worked();
}

static nsec_t used_by(const struct allowance *a, nsec_t now)
{
	nsec_t back = (now - a->at) / ALLOWANCE_PART;

	return a->used > back ? a->used - back : 0;
}

bool allowance_is_ample(const struct allowance *a)
{
	return used_by(a, clock_now()) <= ALLOWANCE_MOST / 2;
}

void allowance_end(struct allowance *a, const struct child *child, nsec_t begun,
	const char *what)
{
	const struct service *s = child->service;
	ev_io *watcher = a->rest.data;
	nsec_t now = clock_now();

	a->used = used_by(a, now) + (clock_worked() - begun);
	a->at = now;
	if (a->used < ALLOWANCE_MOST || !ev_is_active(watcher))
		return;
	ev_io_stop(s->sup->loop, watcher);
	timer_arm(s->sup->loop, &a->rest,
		(a->used - ALLOWANCE_MOST / 2) * ALLOWANCE_PART);
	if (a->told)
		return;
	a->told = true;
	log_warn("%s.%" PRIu32 ": worker %d %s so much that it keeps nclust "
		 "busy: it is made to wait, so that this takes a tenth of a "
		 "CPU at most",
		s->name, child->slot, (int)child->pid, what);
}

void allowance_stop(struct allowance *a, struct ev_loop *loop)
{
	ev_timer_stop(loop, &a->rest);
}
