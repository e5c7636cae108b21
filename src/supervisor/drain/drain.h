/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_H
#define SUPERVISOR_DRAIN_H

#include "supervisor/common/part.h"

extern const struct part drain_part;

/*
 * Stops a worker without losing a request, with no help from the worker.  nclust watches the
 * worker's connections from outside; when no request is in flight, it freezes the worker's
 * processes (SIGSTOP) and looks again.  If there is still no request, the core gets EVENT_DRAINED
 * and sends the stop signal; otherwise nclust continues the worker until the next look.
 * core/quiet.h has the rules.
 *
 * Meanwhile the worker gets no new connections: nclust removes the shared socket from the worker's
 * epoll sets (epoll(7)).  A worker that waits in accept(2) or poll(2) keeps the socket, and the
 * worker's successors get a socket of their own (steer.h).
 *
 * A drain belongs to its child and ends with the child, or with the child's stop signal.  nclust
 * continues every process that a drain has frozen.
 */

/* Would this worker get new connections until its end, because nclust cannot take the worker off
 * its socket?  Steering asks, to open another socket for the successor.  False if the stop signal
 * would kill a worker with fewer than `least` connections: such a worker will be quiet soon. */
bool drain_is_stubborn(struct child *child, unsigned least);

/* How many of the worker's clients stay connected without a request, if the worker has its own
 * handler for the stop signal and may say goodbye to them?  Otherwise 0. */
unsigned drain_count_stay(struct child *child);

/* Continue all frozen workers; their drains resume a little later. */
void drain_settle(struct supervisor *sup);

#endif
