/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AWAY_H
#define SUPERVISOR_AWAY_H

#include "supervisor/common/state.h"

/*
 * A worker behind a shared port that takes no check's connection: is another one
 * always faster, or is it sick?  An idle worker waits for connections; a busy one
 * reads, writes, accepts or closes some.  Who was seen at neither for a while,
 * however often it was looked at, is sick: it loops, is stopped, or its threads
 * wait for each other.  A single look at which it waits clears it.
 */
#define AWAY_LOOKS 64 /* that many in the time, if the caller can */

/* Look at it: true, once: it has been away from this listener for so long. */
bool away_look(struct child *child, const struct listener *l, nsec_t patience);
/* It has answered, or cannot be judged now. */
void away_forget(struct child *child);
bool away_is_suspect(const struct child *child);

#endif
