/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* Wakes other workers that share a socket of this lane.  Called when a worker of the lane has ended
 * or was withdrawn, because the kernel may have woken that worker alone for a connection. */
void steer_wake_others(const struct service *service, unsigned lane);

/* Do the worker's listeners get no new connections?  The drain asks. */
bool steer_is_away(const struct child *child);
/* False: a queue that only this worker can take from is not empty. */
bool steer_may_stop(const struct child *child);

/* Removes the listeners from the worker's epoll sets, if other workers take the connections or the
 * cluster stops; called again and again, because a server may add a listener again.  Sets
 * child->traffic.withdrawn when a listener was removed, and d->unreachable. */
void drain_withdraw(struct drain *d, nsec_t now);
/* Does the worker wait for all of its listeners by epoll(7)? */
bool drain_can_withdraw(struct drain *d);
