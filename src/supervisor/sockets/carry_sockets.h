/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_SOCKETS_H
#define SUPERVISOR_CARRY_SOCKETS_H

#include "supervisor/common/carried.h"

/* How listeners and shared memory go through an upgrade.  Each is written once,
 * before the clusters, which refer to it. */
extern const struct carried carried_listener;
extern const struct carried carried_inherited; /* nclust was started with it */
extern const struct carried carried_socket;    /* one of a listener's */
extern const struct carried carried_segment;

/* A set is carried as references; the second has room for learned listeners. */
extern const struct carried carried_set;
extern const struct carried carried_learned;

#endif
