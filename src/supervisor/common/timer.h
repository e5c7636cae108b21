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

/* ---- allowance ---- */

struct child;

/*
 * How much of nclust's time a worker may cost by the things that it can do as often as it likes:
 * notify messages, messages to other workers, trapped calls.  The cost is nclust's CPU time, and
 * the time for which the loop sleeps while it looks at the worker.
 *
 * A worker has a tenth of a CPU on average, and 1 s at once; all workers of a cluster together have
 * twice that.  When the allowance is used up, nclust stops reading a descriptor by which the
 * worker asks, so that this worker alone waits, in its own system calls, and nothing is lost.  An
 * upgrade does not carry allowances: each worker begins with all of it.
 */
struct allowance {
	nsec_t whole_at;     /* when the whole allowance will be there again */
	struct rests *rests; /* heap; NULL: nclust reads all that the worker sends */
};

/* Stop reading a descriptor of the worker, or go on when the rest is `over`. */
typedef void allowance_rest(struct child *child, bool over);

/* allowance_begin() before and allowance_end() after doing something for the worker charge the time
 * between.  If the allowance is used up, `rest` is called, and again when that is over; the first
 * time `what` the worker does is logged. */
nsec_t allowance_begin(void);
void allowance_end(struct child *child, allowance_rest *rest, nsec_t begun, const char *what);

/* Has `rest` been called, and is it not over?  Then the caller must not read from the worker. */
bool allowance_rests(const struct child *child, allowance_rest *rest);

/* Is half of the allowance left?  Work that is not essential is done only then. */
bool allowance_is_ample(const struct child *child);

/* Forget the rest, before the descriptor is closed. */
void allowance_stop(struct child *child, allowance_rest *rest);
