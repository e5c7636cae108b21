/* SPDX-License-Identifier: MIT */
#include "supervisor/common/timer.h"

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
