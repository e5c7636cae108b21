/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_H
#define SUPERVISOR_DRAIN_H

#include "supervisor/common/part.h"

extern const struct part drain_part;

/*
 * A drain stops a worker without losing a request, and needs no help from it.
 * nclust watches the worker's connections from outside.  When no request is in
 * flight it freezes the worker's processes (SIGSTOP) and looks again.  If that
 * is still true the core gets EVENT_DRAINED and sends the stop signal;
 * otherwise the worker continues until the next look.  core/quiet.h has the
 * rules.
 *
 * Meanwhile the worker gets no new connections: a shared socket is removed from
 * its epoll sets (epoll(7)).  A worker that waits in accept(2) or poll(2) keeps
 * the socket, and its successors get a socket of their own (steer.h).
 *
 * A drain belongs to its child and ends with it, or with its stop signal.
 * Every process that a drain froze is continued.
 */

/* Would this worker get new connections until its end, because it cannot be
 * taken off its socket?  Steering asks, to open another one for its successor.
 * With fewer than `least` connections a worker that dies of its stop signal is
 * none: it will be quiet soon. */
bool drain_is_stubborn(struct child *child, unsigned least);

/* How many clients has it that stay, to whom it may say goodbye at its stop signal? */
unsigned drain_count_stay(struct child *child);

/* Continue all frozen workers; their drains resume a little later. */
void drain_on_settle(struct supervisor *sup);

#endif
