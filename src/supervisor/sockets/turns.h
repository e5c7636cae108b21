/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TURNS_H
#define SUPERVISOR_TURNS_H

#include "supervisor/common/state.h"

/*
 * How many connections the kernel has given to each socket of a listener
 * (`max-requests`).  Where sockets get connections in turn, its program counts the turns,
 * and each socket has its known share of a round: nothing more is counted on the
 * path of a connection.
 *
 * Our own checks of one worker come by another program and are not counted.  A SYN
 * that is sent again counts twice.
 */

/* Before turns_choose(): allocate or free what it needs, by l->counted. */
void turns_prepare(struct listener *l);
/* Let the kernel choose in turn among the sockets, as reuseport_turn(). */
int turns_choose(const struct listener *l, int fd, const unsigned *weights, unsigned count);
/* Bring the sockets' `given` up to date.  -1 and errno: the kernel does not count. */
int turns_count(const struct listener *l);

#endif
