/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ALLOWANCE_H
#define SUPERVISOR_ALLOWANCE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

struct child;

/*
 * How much of nclust's CPU time a worker may cost by one thing that it can do as
 * often as it likes, such as sending notify messages.  On average that is a tenth
 * of a CPU, and 100 ms at once.  When it is used up, nclust stops to read the
 * descriptor by which the worker asks, until half of it is there again.  So only
 * that worker waits, in its own system calls, and nothing is lost.
 *
 * An upgrade does not carry it: each worker begins anew with all of it.
 */
struct allowance {
	ev_timer rest; /* while nothing is read; its data: the watcher */
	nsec_t used;   /* of ALLOWANCE_MOST, … */
	nsec_t at;     /* … at that time: it comes back since */
	bool told;
};

#define ALLOWANCE_MOST (100 * MSEC)
#define ALLOWANCE_PART 10 /* of the time: so much comes back */

void allowance_init(struct allowance *a, ev_io *watcher);

/* Before and after something is done for the worker: charge what that has cost.
 * `what` the worker does is for the log, where it is told once that it waits. */
nsec_t allowance_begin(void);
void allowance_end(struct allowance *a, const struct child *child, nsec_t begun,
	const char *what);

/* Is half of it left?  Work that can be left out is done only then. */
bool allowance_is_ample(const struct allowance *a);

/* Before the watcher's descriptor is closed. */
void allowance_stop(struct allowance *a, struct ev_loop *loop);

#endif
