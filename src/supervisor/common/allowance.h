/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ALLOWANCE_H
#define SUPERVISOR_ALLOWANCE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

struct child;
struct rest;
struct service;

/*
 * How much of nclust's time a worker may cost by one thing that it can do as often
 * as it likes, such as sending notify messages.  That is CPU time, and the time in
 * which a look at the worker sleeps, because the loop waits for it; but not the
 * time in which nclust waits for a CPU.  On average it is a tenth
 * of a CPU, and 100 ms at once; for all workers of a cluster together twice that.
 * When it is used up, nclust stops to read the descriptor by which the worker
 * asks, until half of it is there again.  So only such workers wait, in their own
 * system calls, and nothing is lost.
 *
 * An upgrade does not carry it: each worker begins anew with all of it.
 */
struct allowance {
	nsec_t whole_at;   /* when all that was used will be there again */
	struct rest *rest; /* heap; NULL: it never had to wait */
};

/* Call one before, the other after doing something for the worker, to charge
 * the CPU time between, which is returned.  If the allowance is used up, `rest` is
 * called to stop to read from it, and again when that is `over`; the first time it is
 * logged, with `what` the worker does. */
nsec_t allowance_begin(void);
nsec_t allowance_end(struct allowance *a, struct child *child,
	void (*rest)(struct child *child, bool over), nsec_t begun, const char *what);

/* The same for what some worker of the cluster has caused, nobody knows which: the
 * time that nclust is to leave it undone; 0: none. */
nsec_t allowance_end_any(struct service *service, nsec_t begun);

/* Does the worker wait now?  Then it must not be read from. */
bool allowance_rests(const struct allowance *a);

/* Is half of it left?  Work that is not essential is done only then. */
bool allowance_is_ample(const struct allowance *a);

/* Call this before the descriptor is closed.  All is there again. */
void allowance_stop(struct allowance *a, struct ev_loop *loop);

#endif
