/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NOT_WAITING_H
#define SUPERVISOR_NOT_WAITING_H

#include "supervisor/common/state.h"

/*
 * Does a worker that takes no connection of a check hang, or are other workers on the shared port
 * always faster?  An idle worker waits for connections; a busy one reads, writes, accepts or closes
 * some.  A worker that does neither at any look for a while is away: it loops, is stopped, or its
 * threads wait for each other.  A single look that finds it waiting for connections clears it.
 */
#define AWAY_LOOKS 64 /* looks within `patience`, if there is time for them */

/* Looks at the worker, at the time of monitor_time().  True, once: the worker was away from `l` for
 * all of `patience`. */
bool not_waiting_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now);
/* Starts anew: the worker has answered, or cannot be judged now. */
void not_waiting_forget(struct child *child);
bool not_waiting_is_suspect(const struct child *child);

#endif
