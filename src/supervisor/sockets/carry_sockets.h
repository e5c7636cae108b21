/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_SOCKETS_H
#define SUPERVISOR_CARRY_SOCKETS_H

#include "supervisor/common/carried.h"

/*
 * How listeners and shared memory go through an upgrade: each once, before the
 * clusters, which refer to them.
 */
extern const struct carried carried_sockets; /* all, of the instance */
extern const struct carried carried_listener;
extern const struct carried carried_socket;
extern const struct carried carried_segment;

/* A set, and one with room for what is learned, as references. */
extern const struct carried carried_set;
extern const struct carried carried_learned;

#endif
