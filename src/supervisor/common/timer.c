/* SPDX-License-Identifier: MIT */
#include "supervisor/common/timer.h"

#include "base/scope.h"

/* Pauses between attempts: the kernel may lack memory for a moment, or for long. */
#define AGAIN_FIRST (10 * MSEC)
#define AGAIN_MOST (5 * SECOND)

void timer_init(
	ev_timer *timer, void (*on)(struct ev_loop *loop, ev_timer *timer, int revents), void *data)
{
	ev_init(timer, on);
	timer->data = data;
}

void io_init(
	ev_io *io, void (*on)(struct ev_loop *loop, ev_io *io, int revents), int fd, void *data)
{
	ev_io_init(io, on, fd, EV_READ);
	io->data = data;
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	const struct again *a = timer->data;

	/* ev_io_set(), or libev would believe that it watches the descriptor already */
	ev_io_set(a->io, a->io->fd, EV_READ);
	ev_io_start(loop, a->io);
}

bool io_failed(struct ev_loop *loop, struct again *again, ev_io *io, int revents)
{
	if ((revents & EV_ERROR) == 0) {
		again->pause = 0;
		return false;
	}
	again->pause = again->pause == 0 ? AGAIN_FIRST : nsec_min(2 * again->pause, AGAIN_MOST);
	again->io = io;
	if (again->timer.data == NULL)
		timer_init(&again->timer, on_again, again);
	timer_arm(loop, &again->timer, again->pause);
	return true;
}

void timer_arm(struct ev_loop *loop, ev_timer *timer, nsec_t wait)
{
	ev_now_update(loop); /* the loop's time is when the turn began */
	ev_timer_stop(loop, timer);
	ev_timer_set(timer, wait > 0 ? nsec_seconds(wait) : 0., 0.);
	ev_timer_start(loop, timer);
}

void timer_arm_within(struct ev_loop *loop, ev_timer *timer, nsec_t wait)
{
	if (!ev_is_active(timer) || ev_timer_remaining(loop, timer) > nsec_seconds(wait))
		timer_arm(loop, timer, wait);
}
