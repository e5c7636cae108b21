/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INTERCEPT_H
#define SUPERVISOR_INTERCEPT_H

#include "os/look/remote.h"
#include "supervisor/common/part.h"

/*
 * Takes over the port of a server that binds by itself: seccomp traps bind(2) and listen(2) of each
 * worker and its descendants until nclust has answered.  This file receives the calls, bounds their
 * cost, and reports where trapping is not possible; takeover.c and listens.c answer them.
 */

extern const struct part intercept_part;

/* Copies memory of the worker into `to`, within a bounded time.  -1: failed. */
int intercept_read(struct child *child, struct remote *r, uint64_t at, void *to, size_t size);
/* Call it after looking at a thread of the worker: if the look was late, the worker's calls are
 * left to the kernel from now on. */
void intercept_check_late(struct child *child, const struct remote *r);
/* Kills a worker that hangs with its trap, which nclust must not touch any more. */
void intercept_kill_hung(struct child *child);
/* Charges the worker for what was done since allowance_begin(). */
void intercept_charge(struct child *child, nsec_t begun);
/* Sets *by, the time of the next look at the worker, to after `wait`. intercept_is_due(): is it
 * time?  If not yet, sets the timer.  `by` 0: no look. */
void intercept_look_after(struct child *child, nsec_t *by, nsec_t wait);
bool intercept_is_due(struct child *child, nsec_t by);
/* The worker's socket cannot be taken over: warns, once for a cluster. */
void intercept_warn_refused(struct child *child, int error);

/* The worker's trap is readable. */
void intercept_hear(struct child *child);
void intercept_init(struct supervisor *sup);
void intercept_fini(struct supervisor *sup);

#endif
