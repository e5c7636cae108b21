/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_H
#define SUPERVISOR_DRAIN_H

#include "supervisor/common/part.h"

extern const struct part drain_part;

/*
 * Stopping a worker that does not help, without losing a request: its connections
 * are looked at from outside; at a moment when none of them waits for an answer
 * all of it is stopped (SIGSTOP), looked at again, and if it still is so the core
 * hears EVENT_DRAINED and sends the stop signal.  Else it goes on, for a while.
 * The rules are those of core/quiet.h.
 *
 * Meanwhile it gets no new connections.  A socket that it shares with other workers
 * is taken out of its epoll sets (epoll(7)).  A worker that waits in another way, in
 * accept(2) or poll(2), keeps the socket, and its successors get one of their own
 * (steer.h).
 *
 * A drain belongs to its child and ends with it, or with its stop signal.  Nothing
 * stays stopped that was stopped here.
 */

/* For who can still give its successor a socket of its own: would it get new
 * connections to the end otherwise, as it cannot be taken off the one it has?  Of one
 * that dies of its stop signal that matters if it has `least` connections right now,
 * so that there may be no quiet moment. */
bool drain_is_stubborn(struct child *child, unsigned least);

/* Nobody of theirs is stopped any more; the drains go on later. */
void drain_on_settle(struct supervisor *sup);

#endif
