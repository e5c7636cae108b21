/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GROUP_H
#define SUPERVISOR_GROUP_H

#include "os/socket/sockdiag.h"
#include "supervisor/common/state.h"

/*
 * The sockets of one listener.  Nearly always that is one, l->fd.  While some of
 * its workers are to get no new connections (drain/steer.h) there are several at
 * the same address, in one SO_REUSEPORT group of the kernel (socket(7)).  Workers
 * that have the same socket are in one lane.  This file knows the sockets and what
 * the kernel is told of them; which of them get how much is said by steer.c.
 */

/* Lanes that one cluster may have at a time, and so sockets in a group. */
#define LANES_MAX 6

/* What workers of that lane get. */
int group_fd(const struct listener *l, unsigned lane);
/*
 * connect(2) to what workers of that lane have, also while that gets nothing: they
 * are to be asked if they are ready.  `to` is an address of this machine, the
 * client nonblocking.  -1 and errno: EAGAIN: not at once, another time.
 */
int group_connect(const struct listener *l, unsigned lane, int client,
	const struct sockaddr *to, socklen_t size);
bool group_has_inode(const struct listener *l, uint64_t inode);
unsigned group_size(const struct listener *l);
/* The accept queue of all together; the limit is of one. */
void group_queue(const struct listener *l, struct queue_facts *facts);
void group_set_backlog(const struct listener *l, int backlog);
/* Revived after a shutdown: it is the last of its group now. */
void group_revived(struct listener *l, int fd);
/* A server makes such sockets itself: they get what the kernel's hash says. */
void group_give_up(struct listener *l);
/* Close all but l->fd, for good: its address is used in another way. */
void group_forget(struct listener *l);

/* ---- for steering ---- */

/* The socket that workers of that lane have; NULL: there is but l->fd. */
struct listener_socket *group_socket(const struct listener *l, unsigned lane);
/* It has just got the last place of the group.  NULL: out of memory. */
struct listener_socket *group_add(struct listener *l, int fd, unsigned lane);
/* One of several; `moves`: the kernel has been told to move its queue to the
 * others. */
void group_close(struct listener *l, struct listener_socket *s, bool moves);

/* One that no worker has: what waits there goes to the others.  False: it cannot. */
bool group_move_queue(struct listener *l, struct listener_socket *k);

/* Does somebody else listen there, too?  The kernel knows the sockets of a group
 * by their place in it, and gives the place of one that leaves to the last: with
 * a stranger's at the end none of ours may leave. */
bool group_has_stranger(const struct listener *l);

/* Note how much of the new connections it is to get; true: not as before. */
bool group_weigh(struct listener_socket *socket, unsigned weight);
/* Tell the kernel what was noted. */
void group_apply(struct listener *l);

/* Does a client wait there? */
bool group_has_queue(
	const struct listener *l, const struct listener_socket *socket);
/* Of one that gets none: can nothing come out of it any more that a worker would
 * have to take? */
bool group_is_dry(const struct listener *l, struct listener_socket *k);
/* Of one that gets none but has workers: wake one of them, if somebody waits. */
void group_knock(struct listener *l, struct listener_socket *k);
/* Of any, at once: one of its workers has ended. */
void group_wake(struct listener *l, unsigned lane);

#endif
