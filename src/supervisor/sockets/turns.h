/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TURNS_H
#define SUPERVISOR_TURNS_H

#include "supervisor/common/state.h"

/*
 * How many connections the kernel has given to each socket of a listener (`max-requests`).  The BPF
 * program that chooses sockets in turn counts connections, and each socket has a known share of a
 * round, so nothing else is counted for a connection.  nclust's own checks come by another program
 * and do not count.  A SYN that is sent again counts twice.
 */

/* Before turns_choose(): allocate or free what it needs, as l->counted says. */
void turns_prepare(struct listener *l);
/* Let the kernel choose sockets in turn, and count (see reuseport_set_turns()). */
int turns_choose(const struct listener *l, int fd, const unsigned *weights, unsigned count);
/* Bring each socket's `given` up to date.  -1 and errno: the kernel does not count. */
int turns_count(const struct listener *l);

#endif
