/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

/*
 * Takes over the port of a server that binds by itself: seccomp traps bind(2) and listen(2) of each
 * worker and its descendants until nclust has answered.  This file receives the calls, bounds their
 * cost, and reports where trapping is not possible; takeover.c and listens.c answer them.
 */

void intercept_on_prepare(struct child *child, struct birth *birth);
void intercept_on_born(struct child *child, struct birth *birth);
void intercept_on_gone(struct child *child);
void intercept_on_adopt(struct child *child, struct worker_fds *fds);
void intercept_on_go_on(struct supervisor *sup);
void intercept_on_verb(struct supervisor *sup, const struct verb_step *verb);

/* Call it after looking at a thread of the worker: if the look was late, the worker's calls are
 * left to the kernel from now on. */
void intercept_check_late(struct child *child, const struct remote *r);
/* Kills a worker that hangs with its trap, which nclust must not touch any more. */
void intercept_kill_hung(struct child *child);
/* Charges the worker for what was done since allowance_begin(). */
void intercept_charge(struct child *child, nsec_t begun);
/* The worker's trap is readable. */
void intercept_hear(struct child *child);
void intercept_init(struct supervisor *sup);
