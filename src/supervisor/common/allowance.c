/* SPDX-License-Identifier: MIT */
#include "supervisor/common/allowance.h"

#include "base/log.h"
#include "os/clock.h"
#include "supervisor/common/state.h"
#include "supervisor/common/timer.h"

#include <inttypes.h>
#include <stdlib.h>

/* Runs while `watcher` is stopped, which is the timer's data. */
struct rest {
	ev_timer timer;
};

static void on_rested(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)revents;
	ev_io_start(loop, timer->data);
}

nsec_t allowance_begin(void)
{
	return clock_worked();
}

static nsec_t used_by(const struct allowance *a, nsec_t now)
{
	return a->whole_at > now ? (a->whole_at - now) / ALLOWANCE_PART : 0;
}

bool allowance_is_ample(const struct allowance *a)
{
	return used_by(a, clock_now()) <= ALLOWANCE_MOST / 2;
}

static void tell(const struct child *child, const char *what)
{
	log_warn("%s.%" PRIu32 ": worker %d %s so much that it keeps nclust "
		 "busy: it is made to wait, so that this takes a tenth of a "
		 "CPU at most",
		child->service->name, child->slot, (int)child->pid, what);
}

void allowance_end(struct allowance *a, const struct child *child,
	ev_io *watcher, nsec_t begun, const char *what)
{
	struct ev_loop *loop = child->service->sup->loop;
	nsec_t now = clock_now();
	nsec_t used = used_by(a, now) + (clock_worked() - begun);

	a->whole_at = now + used * ALLOWANCE_PART;
	if (used < ALLOWANCE_MOST || !ev_is_active(watcher))
		return;
	if (a->rest == NULL) {
		a->rest = malloc(sizeof(*a->rest));
		if (a->rest == NULL)
			return; /* no memory: the next call tries again */
		timer_init(&a->rest->timer, on_rested, watcher);
		tell(child, what);
	}
	ev_io_stop(loop, watcher);
	timer_arm(loop, &a->rest->timer,
		(used - ALLOWANCE_MOST / 2) * ALLOWANCE_PART);
}

void allowance_stop(struct allowance *a, struct ev_loop *loop)
{
	if (a->rest != NULL)
		ev_timer_stop(loop, &a->rest->timer);
	free(a->rest);
	*a = (struct allowance){0};
}
