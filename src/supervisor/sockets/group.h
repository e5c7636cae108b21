/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GROUP_H
#define SUPERVISOR_GROUP_H

#include "os/socket/sockdiag.h"
#include "supervisor/common/state.h"

/*
 * The sockets of one listener: usually only l->fd.  While some of its workers
 * are to get no new connections (drain/steer.h), and where each is to get its
 * share (`balance = rr`), there are several at the same address, in one SO_REUSEPORT group of the kernel (socket(7)).  Workers that
 * have the same socket are in one lane.  steer.c decides how many of the new
 * connections each socket gets; this file opens and closes them and tells the
 * kernel.
 */

/* Lanes that one cluster may have at a time, and so sockets in a group. */
#define LANES_MAX 128

/* The socket that workers of that lane get. */
int group_fd(const struct listener *l, unsigned lane);
/* connect(2) to the socket of that lane, even if it gets no connections at the
 * moment: a check must reach its workers.  `to` is an address of this machine,
 * `client` nonblocking.  -1 and errno; EAGAIN: try again later. */
int group_connect(const struct listener *l, unsigned lane, int client, const struct sockaddr *to,
	socklen_t size);
bool group_has_inode(const struct listener *l, uint64_t inode);
/* The same, also for the sockets that were closed last. */
bool group_had_inode(const struct listener *l, uint64_t inode);
unsigned group_size(const struct listener *l);
/* How the kernel spreads connections over its sockets: "rr", or "random" where it
 * was to do that, or "client-address"; else "share". */
const char *group_balance(const struct listener *l);
/* The accept queues of all sockets together; the limit is that of one. */
void group_queue(const struct listener *l, struct queue_facts *facts);
/* listen(2) again, in the order of their places, which they get by it.  -1 and
 * errno: of the listener's own one. */
int group_set_backlog(const struct listener *l, int backlog);
/* The same where a worker of that lane has called it. */
int group_listen(const struct listener *l, unsigned lane, int backlog);
/* `fd` listens again after a shutdown(2): its place is the last of the
 * group. */
void group_revived(struct listener *l, int fd);
/* The server opens SO_REUSEPORT sockets itself: the kernel's hash chooses. */
void group_give_up(struct listener *l);
/* Close all sockets but l->fd: there will be no steering at this address. */
void group_forget(struct listener *l);

/* ---- for steering ---- */

/* The socket that workers of that lane have; NULL: there is but l->fd. */
struct listener_socket *group_socket(const struct listener *l, unsigned lane);
/* The socket that this lane alone has; NULL: it has none. */
struct listener_socket *group_own(const struct listener *l, unsigned lane);
/* Add a socket that has just joined the group in the kernel, in its last place.
 * NULL: out of memory. */
struct listener_socket *group_add(struct listener *l, int fd, unsigned lane);
/* Close one of several sockets; `moves`: the kernel will move its queue to the
 * others (group_move_queue()). */
void group_close(struct listener *l, struct listener_socket *s, bool moves);

/* Close a socket that no worker has, and move its queue to the others.  False:
 * the kernel does not do that for us, and the socket stays. */
bool group_move_queue(struct listener *l, struct listener_socket *k);
/* The same of a socket that its next worker will have: it stays open. */
void group_rescue(struct listener *l, struct listener_socket *k);

/* Does another program listen there, too?  The kernel knows a group's sockets
 * by their place.  If one leaves, the last socket gets its place: while that is
 * another program's, none of ours may leave. */
bool group_has_stranger(const struct listener *l);

/* Set the socket's share of new connections; true: it has changed. */
bool group_weigh(struct listener_socket *socket, unsigned weight);
/* Tell the kernel all shares; not before it listens. */
void group_apply(struct listener *l);

/* Does a client wait in the socket's queue? */
bool group_has_queue(const struct listener *l, const struct listener_socket *socket);
/* The socket gets no new connections: are its queue and its handshakes over,
 * too? */
bool group_is_dry(const struct listener *l, struct listener_socket *k);
/* The socket gets no new connections: if a client waits, wake a worker. */
void group_knock(struct listener *l, struct listener_socket *k);
/* A worker of the lane has ended: wake another one if a client waits. */
void group_wake(struct listener *l, unsigned lane);

#endif
