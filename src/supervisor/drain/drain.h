/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void drain_on_prepare(struct child *child, struct birth *birth);
void drain_on_stop(struct child *child, int signal, nsec_t span);
void drain_on_dying(struct child *child);
void drain_on_gone(struct child *child);
void drain_on_adopt(struct child *child, struct worker_fds *fds);
void drain_on_choose(struct service *service);
void drain_on_go_on(struct supervisor *sup);
void drain_on_shutdown(struct supervisor *sup);

/*
 * Stops a worker without losing a request, with no help from the worker.  nclust watches the
 * worker's connections from outside; when no request is in flight, it freezes the worker's
 * processes (SIGSTOP) and looks again.  If there is still no request, the core gets EVENT_DRAINED
 * and sends the stop signal; otherwise nclust continues the worker until the next look.
 * drain/quiet.h has the rules.
 *
 * Meanwhile the worker gets no new connections: nclust removes the shared socket from the worker's
 * epoll sets (epoll(7)).  A worker that waits in accept(2) or poll(2) keeps the socket, and the
 * worker's successors get a socket of their own.
 *
 * A drain belongs to its child and ends with the child, or with the child's stop signal.  nclust
 * continues every process that a drain has frozen.
 */

/* Continue all frozen workers; their drains resume a little later. */
void drain_settle(struct supervisor *sup);
