/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/* Initialise a timer, or a watcher of a descriptor (-1: not known yet), with its callback and
 * data. */
void timer_init(ev_timer *timer, void (*on)(struct ev_loop *loop, ev_timer *timer, int revents),
	void *data);
void io_init(
	ev_io *io, void (*on)(struct ev_loop *loop, ev_io *io, int revents), int fd, void *data);

/* Watches a descriptor anew after epoll_ctl(2) has failed. */
struct again {
	ev_timer timer;
	ev_io *io;
	nsec_t pause; /* doubles each time; 0: the descriptor is watched */
};
/* For the callback of an ev_io: true if `revents` says that epoll_ctl(2) has failed.  Then nothing
 * is to be read, and the descriptor is watched again after a pause. */
bool io_failed(struct ev_loop *loop, struct again *again, ev_io *io, int revents);

/* Let the timer expire once, `wait` from now, even if it runs already. */
void timer_arm(struct ev_loop *loop, ev_timer *timer, nsec_t wait);

/* The same, unless the timer runs already and expires no later than that. */
void timer_arm_within(struct ev_loop *loop, ev_timer *timer, nsec_t wait);
