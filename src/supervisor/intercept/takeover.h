/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TAKEOVER_H
#define SUPERVISOR_TAKEOVER_H

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * What becomes of a worker's bind(2), while it waits for the answer
 * (intercept.h).
 *
 * A bind to a TCP port is nclust's own deed: with a duplicate of the worker's
 * socket, which it keeps, and with its own copy of the address, so that nothing
 * that the worker changes meanwhile matters.  Who comes later with the same
 * address gets the kept socket in the place of his own.  All else is the
 * kernel's to do, as if nobody had looked.
 *
 * nclust binds only what the user has named, or what the worker could bind
 * itself.  Each look at the worker is followed by the question whether it still
 * waits: else its number may be somebody else's already.
 */
void takeover_bind(struct child *child, const struct seccomp_notice *notice);

/* Has a worker the right to bind this, by itself or as the user has named it? */
bool takeover_may(const struct service *service, const struct socket_key *key,
	struct remote *worker);

#endif
