/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NODE_H
#define SUPERVISOR_NODE_H

#include "supervisor/messages/channel.h"
#include "supervisor/common/carried.h"

/*
 * The primary of Node's cluster: what an unmodified program that calls
 * server.listen() in a cluster worker asks of it.  Each place that workers ask
 * for is a server here: one socket that all of them share (what else would be
 * bound by nclust for no worker's own), or whose connections nclust accepts and
 * hands over (balance = rr).  Sockets that nclust holds already, by `listen` or
 * since an earlier worker, come first; those that it binds are kept like those
 * that were learned (learned.h).
 *
 * Workers are not trusted: what one may have is bounded, and it gets no port
 * that it could not have bound by itself.
 */

extern const struct part node_part;

/* How servers and workers go through an upgrade: the servers before the workers,
 * which refer to them. */
extern const struct carried carried_node_cluster;
extern const struct carried carried_node_worker;

/* Has any living worker a server here? */
bool node_serves(const struct service *service);
/* Are its connections accepted here, by that one descriptor (rr)? */
bool node_accepts(const struct listener *l);
/* Has it such a channel, and has it said so? */
bool node_is_worker(const struct child *child);

/* A worker is stopped as Node's primary does it: once it is emptied (drain.h) it is
 * told to close its servers and to end, and helped by its stop signal after that. */

/* It goes on for a while when it is drained. */
bool node_lives_on(const struct child *child);
/* No new connections come to it: it was told, or gets them from us alone. */
bool node_is_away(const struct child *child);
/* But some are on their way to it. */
bool node_is_given(const struct child *child);
/* Its connections cannot be seen from outside: have it drain by itself, and
 * EVENT_DRAINED follow.  False: it cannot be told. */
bool node_drain_unseen(struct child *child);

#endif
