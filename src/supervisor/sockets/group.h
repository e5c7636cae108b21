/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/socket/endpoint.h"
#include "os/socket/sockdiag.h"
#include "supervisor/common/state.h"

/*
 * The sockets of one listener: usually l->fd alone.  With steering (drain/steer.h) and `balance` a
 * listener has several, in one SO_REUSEPORT group of the kernel (socket(7)), up to REUSEPORT_MAX.
 * Each worker has a lane, a number that grows with each socket that is opened: the worker has the
 * socket of the greatest lane that is not greater than its own.  drain/steer.c gives lanes and
 * decides each socket's share of new connections; the functions here open and close the sockets
 * and tell the kernel their shares.
 */

/* The lane of the socket where clients wait while no worker has passed its `ready` probe: none of
 * the workers has it. */
#define LANE_WAITS (UINT_MAX - 1)

/* The socket of the workers of that lane. */
int group_fd(const struct listener *l, unsigned lane);
/* connect(2) to the socket of that lane, even if its share is 0: for checks of its workers.  `to`
 * is an address of this machine, `client` nonblocking.  -1 and errno; EAGAIN: try again later. */
int group_connect(const struct listener *l, unsigned lane, int client, const struct sockaddr *to,
	socklen_t size);
/* Give the client the server's address, with a port for it alone. */
int group_bind_client(int client, const struct sockaddr *to, socklen_t size);
/* A connection from that address goes to the socket of that lane, until group_aim_no_more().  -1 and
 * errno. */
int group_aim(const struct listener *l, unsigned lane, const union endpoint *client);
void group_aim_no_more(const struct listener *l);
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
/* Add a socket that has just joined the kernel's group, in the last place, for workers of several
 * slots.  NULL: out of memory. */
struct listener_socket *group_add(struct listener *l, int fd, unsigned lane);
/* Close one of several sockets. */
void group_close(struct listener *l, struct listener_socket *s);
/* Move the queue of a socket that no worker has to those that get new connections, if the kernel can
 * do that. */
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
