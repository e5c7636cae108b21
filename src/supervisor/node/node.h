/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/messages/channel.h"

/*
 * Plays the primary of Node's cluster module for unmodified programs that call server.listen() in a
 * cluster worker.  Each address that workers ask for is a server here: either all workers share its
 * socket, or nclust accepts its connections and hands them to workers in turn (balance = rr).
 * nclust first looks for the address among the sockets that it holds; if it must bind a new socket,
 * it keeps that as a learned listener (sockets/learned.h).
 *
 * Workers are not trusted: what a worker can ask for is bounded, and it gets no port that it could
 * not have bound by itself.
 */

void node_on_line(struct channel *c, const char *line, size_t len);
void node_on_hung_up(struct channel *c);
void node_on_release(struct child *child);
void node_on_stop(struct child *child, int signal);
void node_on_gone(struct child *child);
void node_on_adopt(struct child *child);
void node_on_adopted(struct service *service);
void node_on_status_worker(struct json_writer *w, const struct child *child);
void node_on_drop(struct service *service);
void node_on_let_go(struct holding *holding);
void node_on_go_on(struct supervisor *sup);

/* Is it a worker of Node's cluster?  Whether its program handles a signal cannot be seen then,
 * because Node itself catches SIGTERM and SIGINT. */
bool node_is_worker(const struct child *child);
/* Has the worker all its connections from nclust, which gives none to a worker that is drained? */
bool node_is_away(const struct child *child);
/* Has nclust sent the worker a connection that the worker has not confirmed yet? */
bool node_is_given(const struct child *child);

/* The inode of the worker's end of the channel, by which it gets connections; 0: it has none. */
uint64_t node_channel_inode(const struct child *child);

/* How many connections the worker has taken that nclust has accepted for it. */
uint64_t node_taken(const struct child *child);
