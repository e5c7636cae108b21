/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ALLOWANCE_H
#define SUPERVISOR_ALLOWANCE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

struct child;
struct rest;

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
	nsec_t whole_at;   /* when all that was used will be there again */
	struct rest *rest; /* heap; NULL: it never had to wait */
};

#define ALLOWANCE_MOST (100 * MSEC)
#define ALLOWANCE_PART 10 /* of the time: so much comes back */

/* Before and after something is done for the worker, which asks by `watcher`:
 * charge what that has cost.  `what` the worker does is for the log, where it is
 * told once that it waits. */
nsec_t allowance_begin(void);
void allowance_end(struct allowance *a, const struct child *child,
	ev_io *watcher, nsec_t begun, const char *what);

/* Is half of it left?  Work that can be left out is done only then. */
bool allowance_is_ample(const struct allowance *a);

/* Before the watcher's descriptor is closed: all of it is there again. */
void allowance_stop(struct allowance *a, struct ev_loop *loop);

#endif
