/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HANG_H
#define SUPERVISOR_HANG_H

#include "os/look/connections.h"
#include "supervisor/common/state.h"

/*
 * `request-timeout`: a worker that owes an answer for that long, as its TCP
 * connections show from outside: the last word is the client's.  It is reported
 * with what it does, and replaced through its slot's gate; the drain does not
 * wait for that request.  Where a drain in doubt takes a connection for busy, this
 * takes it for answered.
 */
#define HANG_LOOKS 4 /* in that time */

nsec_t hang_patience(const struct child *child); /* 0: off */
/* Look at it, if it is time to. */
void hang_look(struct child *child, nsec_t now);
bool hang_exceeds(const struct child *child, const struct connection *c);

#endif
