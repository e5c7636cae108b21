/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_SOCKET_H
#define SUPERVISOR_STEER_SOCKET_H

#include "supervisor/common/state.h"

/*
 * The sockets of one listener, in the kernel's group and out of it.  For steer.c
 * alone, who says which of them get how much.
 */

/* What workers of that lane have; NULL: there is but l->fd. */
struct listener_socket *steer_socket_of(
	const struct listener *l, unsigned lane);
/* It has just got the last place of the group.  NULL: out of memory. */
struct listener_socket *steer_add(struct listener *l, int fd, unsigned lane);
/* One of several; `moves`: the kernel has been told to move its queue to the
 * others. */
void steer_close(struct listener *l, struct listener_socket *s, bool moves);

/* One that no worker has: what waits there goes to the others.  False: it cannot. */
bool steer_move_queue(struct listener *l, struct listener_socket *k);

/* Does somebody else listen there, too?  The kernel knows the sockets of a group
 * by their place in it, and gives the place of one that leaves to the last: with
 * a stranger's at the end none of ours may leave. */
bool steer_has_stranger(const struct listener *l);

/* Note how much of the new connections it is to get; true: not as before. */
bool steer_weigh(struct listener_socket *socket, unsigned weight);
/* Tell the kernel what was noted. */
void steer_apply(struct listener *l);

/* Does a client wait there? */
bool steer_has_queue(
	const struct listener *l, const struct listener_socket *socket);
/* Of one that gets none: can nothing come out of it any more that a worker would
 * have to take? */
bool steer_is_dry(const struct listener *l, struct listener_socket *k);
/* Of one that gets none but has workers: wake one of them, if somebody waits. */
void steer_knock(struct listener *l, struct listener_socket *k);
/* Of any, at once: one of its workers has ended. */
void steer_wake(struct listener *l, unsigned lane);

#endif
