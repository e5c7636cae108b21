/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GROUP_H
#define SUPERVISOR_GROUP_H

#include "os/socket/sockdiag.h"
#include "supervisor/common/state.h"

/*
 * The sockets of one listener: usually l->fd alone.  With steering (drain/steer.h) and `balance` a
 * listener has several, in one SO_REUSEPORT group of the kernel (socket(7)); the workers that share
 * a socket are a lane.  steer.c decides each socket's share of new connections; the functions here
 * open and close the sockets and tell the kernel their shares.
 */

/* How many lanes a cluster, and so how many sockets a group may have. */
#define LANES_MAX 128

/* The socket of the workers of that lane. */
int group_fd(const struct listener *l, unsigned lane);
/* connect(2) to the socket of that lane, even if its share is 0: for checks of its workers.  `to`
 * is an address of this machine, `client` nonblocking.  -1 and errno; EAGAIN: try again later. */
int group_connect(const struct listener *l, unsigned lane, int client, const struct sockaddr *to,
	socklen_t size);
bool group_has_inode(const struct listener *l, uint64_t inode);
/* Has, or had one of the sockets this inode?  Only the sockets closed last are remembered. */
bool group_had_inode(const struct listener *l, uint64_t inode);
unsigned group_size(const struct listener *l);
/* How the kernel spreads connections over the sockets, as a status says it. */
const char *group_balance(const struct listener *l);
/* The accept queues of all sockets together; the limit is that of a single queue. */
void group_queue(const struct listener *l, struct queue_facts *facts);
/* listen(2) on all sockets, in the order of their places, because the kernel gives places by that
 * order.  -1 and errno: listen(2) failed for l->fd. */
int group_set_backlog(const struct listener *l, int backlog);
/* A worker of that lane has called listen(2): repeat it on the sockets that need it. */
int group_listen(const struct listener *l, unsigned lane, int backlog);
/* `fd` listens again after a shutdown(2): the kernel has put it last in the group. */
void group_revived(struct listener *l, int fd);
/* A server opens SO_REUSEPORT sockets itself: stop steering, the kernel's hash chooses. */
void group_give_up(struct listener *l);
/* Close all sockets but l->fd, and steer no more connections at this address. */
void group_forget(struct listener *l);

/* ---- for steering ---- */

/* The socket of the workers of that lane; NULL: l->fd is the only one. */
struct listener_socket *group_socket(const struct listener *l, unsigned lane);
/* The socket that was opened for that lane; NULL: there is none. */
struct listener_socket *group_own(const struct listener *l, unsigned lane);
/* Add a socket that has just joined the kernel's group, in the last place.  NULL: out of memory. */
struct listener_socket *group_add(struct listener *l, int fd, unsigned lane);
/* Close one of several sockets; `moves`: the kernel moves its queue to the other sockets. */
void group_close(struct listener *l, struct listener_socket *s, bool moves);

/* Close a socket that no worker has, so that the kernel moves its queue to the others.  False: the
 * kernel cannot do that, and the socket stays open. */
bool group_move_queue(struct listener *l, struct listener_socket *k);
/* Move the queue of a socket to the others, and keep it open for its next worker. */
void group_rescue(struct listener *l, struct listener_socket *k);

/* Does a socket of another program listen there, too?  While it does, no socket may be closed: the
 * kernel would move that program's socket to the free place. */
bool group_has_stranger(const struct listener *l);

/* Set the socket's share of new connections; true: the share has changed. */
bool group_weigh(struct listener_socket *socket, unsigned weight);
/* Tell the kernel all shares, if the listener listens. */
void group_apply(struct listener *l);

/* Is a connection in the socket's queue whose client still waits? */
bool group_has_queue(const struct listener *l, const struct listener_socket *socket);
/* Of a socket with share 0: is its queue empty, and is no handshake under way? */
bool group_is_dry(const struct listener *l, struct listener_socket *k);
/* Of a socket with share 0: if a client waits in its queue, wake a worker of the lane. */
void group_wake_unweighted(struct listener *l, struct listener_socket *k);
/* A worker of the lane has ended: if a client waits, wake another worker. */
void group_wake(struct listener *l, unsigned lane);

#endif
