/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_THAW_H
#define SUPERVISOR_THAW_H

#include "supervisor/common/state.h"

/*
 * Continues frozen workers.  A drain freezes a worker for a moment to look at its connections, and
 * continues it afterwards (drain_thaw()), also when nclust itself stops or is upgraded meanwhile
 * (drain_settle()).
 *
 * If nclust is killed in that moment, the worker must still run (`orphans = keep`).  So nclust
 * forks a helper while there are drains.  When nclust dies, the helper continues the workers that
 * the state file says are frozen.  The keeper cannot: it has no right to signal them.  The next
 * nclust continues all workers that it takes over, because the helper may have been killed, too.
 *
 * A worker that somebody else has stopped is continued when its drain begins, because a stopped
 * worker would not answer its clients.
 */

/* Forks the helper, unless there is one; the helper exits when traffic.thaw_pipe is closed. */
void thaw_stand_by(struct supervisor *sup);
void thaw_fini(struct supervisor *sup); /* waits until the helper has exited */
/* Continues a process that leads its group: first all processes below it, then the rest of its
 * group, also processes that have lost their parent. */
void thaw_tree(pid_t pid, int pidfd);

#endif
