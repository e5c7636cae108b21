/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AWAY_H
#define SUPERVISOR_AWAY_H

#include "supervisor/common/state.h"

/*
 * A worker on a shared port takes no connection of a check: are others always
 * faster, or is it hung?  An idle worker waits for connections; a busy one
 * reads, writes, accepts or closes some.  A worker that does neither for a
 * while, at any look, is away: it loops, is stopped, or its threads wait for
 * each other.  A single look that finds it waiting clears it.
 */
#define AWAY_LOOKS 64 /* looks within `patience`, if there is time for them */

/* Look at the worker, at the time of asker_time().  True, once: it was away from `l`
 * for all of `patience`. */
bool away_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now);
/* Start anew: the worker has answered, or cannot be judged now. */
void away_forget(struct child *child);
bool away_is_suspect(const struct child *child);

#endif
