/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HANG_H
#define SUPERVISOR_HANG_H

#include "os/look/connections.h"
#include "supervisor/common/state.h"

/*
 * `request-timeout`: a worker hangs if a request waits that long for its answer.  nclust sees that
 * from outside: the last data on a TCP connection came from the client.  The worker is reported
 * with what its threads do, and replaced through its slot's gate; the drain does not wait for that
 * request.  In doubt a connection counts as answered here, but as busy in a drain.
 */
#define HANG_LOOKS 4 /* within request-timeout */

nsec_t hang_patience(const struct child *child); /* the worker's request-timeout; 0: off */
/* Looks at the worker, if a look is due. */
void hang_look(struct child *child, nsec_t now);
/* Has a request waited too long on this connection? */
bool hang_exceeds(const struct child *child, const struct connection *c);

#endif
