/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CLOSED_H
#define SUPERVISOR_CLOSED_H

#include "supervisor/common/state.h"

/*
 * A worker closes a port that it had opened (FTP's for data, a debugger's), of which
 * no call tells: nclust still has the socket, and clients would wait there.  So a
 * worker is looked at again and again while it has a port that it opened late.
 */

/* It has opened one. */
void closed_await(struct child *child);
/* Look if that is due; sets the timer to the next look. */
void closed_look(struct child *child);
/* Forget what it has closed, but for that (or NULL): its successor need not open it. */
void closed_forget(struct child *child, const struct socket_key *but);

#endif
