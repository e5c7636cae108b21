/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_THAW_H
#define SUPERVISOR_THAW_H

#include "supervisor/state.h"

/*
 * A worker is frozen for a moment while nclust looks at its connections
 * (drain_freeze.c).  Should nclust be killed in that moment, the worker is to
 * outlive it (`orphans = keep`) running: while there are drains, a process that
 * was forked by nclust waits for its end, and continues those that the state file
 * says are frozen.  The keeper cannot: it has no right to signal them.
 */

/* It is there from now on, until `*fd` is closed; if it is not yet there. */
void thaw_stand_by(struct supervisor *sup, int *fd);
void thaw_fini(struct supervisor *sup); /* and gone */
/* Continue a process and all below it. */
void thaw_tree(pid_t pid, int pidfd);

#endif
