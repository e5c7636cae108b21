/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * Answers a worker's trapped bind(2).
 *
 * For a TCP port nclust binds in place of the worker: with a duplicate of the worker's socket,
 * which it keeps, and with its own copy of the address, so that the worker cannot change either
 * meanwhile.  A worker that later binds the same address gets the kept socket in place of its own.
 * All other binds are left to the kernel, as if they were not trapped.
 *
 * nclust binds only what the user has named, or what the worker could bind itself.  After each look
 * at the worker it checks that the call still waits; otherwise its pid may already belong to
 * another process.
 */
void takeover_bind(struct child *child, const struct seccomp_notice *notice, struct remote *remote);

/* Do workers share this address, which the thread binds (`share-ports`, `listen`)? */
bool takeover_shares(const struct child *child, const struct socket_key *key, pid_t tid);
/* Is the thread one of a daemon's that the worker has started: in a session of its own, and below the
 * worker no more?  What that binds is no worker's, and from now on it lives as long as the cluster. */
bool takeover_is_daemons(const struct child *child, pid_t tid);

/* A worker of Node's cluster module asks for that address, which no listener has, instead of
 * binding it: binds it as above.  `again`: SO_REUSEADDR, which a TCP socket has in any case.  NULL:
 * *error, an errno(3), is the answer to the worker. */
struct listener *takeover_open(
	struct child *child, const struct socket_key *key, bool again, int *error);
/* Logs that a worker has opened that address. */
void takeover_log(struct child *c, const struct listener *l);
