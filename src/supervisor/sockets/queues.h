/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_QUEUES_H
#define SUPERVISOR_QUEUES_H

#include "supervisor/common/state.h"

/*
 * The accept queues of a listener's sockets, where the kernel is to give a new
 * connection to the worker that has the least to do (`balance = least`,
 * os/socket/least.h).
 *
 * While all workers are busy a connection waits in the queue of one of them, and that
 * one may hang.  The kernel's program says so; then nclust looks at the queues until
 * they are empty, and lets the kernel move one in which nothing was accepted for a
 * while to the others.  If that was a false alarm, the next one of that socket takes
 * twice as long: an honest request may take its time.
 */

/* Before queues_choose(): open, close or change what it needs, for that many
 * sockets. */
void queues_prepare(struct listener *l, unsigned count);
/* Let the kernel choose among the sockets that have a share; `fd` is one.  -1 and
 * errno; EBUSY: nclust tries it again by itself. */
int queues_choose(const struct listener *l, int fd);
/* Add to the sockets' `given` what they got since the last time. */
void queues_count(const struct listener *l);
void queues_forget(struct listener *l);

#endif
