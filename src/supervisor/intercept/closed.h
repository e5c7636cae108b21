/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CLOSED_H
#define SUPERVISOR_CLOSED_H

#include "supervisor/common/state.h"

/*
 * No call tells that a worker closes a port that it had opened (FTP's for data, a debugger's):
 * nclust still has the socket, and clients would wait there.  So listens.c looks again and again at
 * a worker that has opened a port late, for ports that it has closed.
 */

/* The worker has opened such a port. */
void closed_await(struct child *child);
/* Looks at the worker if that is due; sets the timer to the next look. */
void closed_look(struct child *child);
/* Forgets the ports that the worker has closed, but for `but` (or NULL), which it opens again: its
 * successor need not open them. */
void closed_forget(struct child *child, const struct socket_key *but);

#endif
