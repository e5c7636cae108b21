/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AWAY_H
#define SUPERVISOR_AWAY_H

#include "supervisor/common/state.h"

/*
 * Does a worker that takes no connection of a check hang, or are other workers on the shared port
 * always faster?  An idle worker waits for connections; a busy one reads, writes, accepts or closes
 * some.  A worker that does neither at any look for a while is away: it loops, is stopped, or its
 * threads wait for each other.  A single look that finds it waiting for connections clears it.
 */
#define AWAY_LOOKS 64 /* looks within `patience`, if there is time for them */

/* Looks at the worker, at the time of asker_time().  True, once: the worker was away from `l` for
 * all of `patience`. */
bool away_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now);
/* Starts anew: the worker has answered, or cannot be judged now. */
void away_forget(struct child *child);
bool away_is_suspect(const struct child *child);

#endif
