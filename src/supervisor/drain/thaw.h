/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_THAW_H
#define SUPERVISOR_THAW_H

#include "supervisor/common/state.h"

/*
 * Who continues a stopped worker.  A drain freezes it for a moment to look at its
 * connections, and continues just what it has stopped (drain_thaw()); so it does when
 * nclust itself stops or replaces itself meanwhile (drain_on_settle()).
 *
 * Should nclust be killed in that moment, the worker is to outlive it (`orphans =
 * keep`) running: while there are drains, a process that was forked by nclust waits
 * for its end, and continues those that the state file says are frozen.  The keeper
 * cannot: it has no right to signal them.  The next nclust does the same with all
 * that it takes over, as that process may have been killed, too.
 *
 * A worker that somebody else has stopped is continued when it is to be drained, as
 * it would answer nothing.
 */

/* It is there from now on, until `*fd` is closed; if it is not yet there. */
void thaw_stand_by(struct supervisor *sup, int *fd);
void thaw_fini(struct supervisor *sup); /* and gone */
/* Continue a process that leads its group, all below it, which go first, and those of
 * its group that have lost their parent. */
void thaw_tree(pid_t pid, int pidfd);

#endif
