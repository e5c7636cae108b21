/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FOREIGN_H
#define SUPERVISOR_FOREIGN_H

#include "supervisor/common/state.h"

struct fdpass_message;

/*
 * Closes descriptors that others have made: one that came by a socket or was
 * taken from a worker, and a socket by which more may be on their way.
 * close(2) of such a descriptor may take any time (closer/closer.h), and the
 * loop must not wait.  So if workers run as another user than nclust, a
 * separate process, the closer, closes them.  nclust starts it when there is
 * something to close.  If it hangs, nclust replaces it and kills the worker to
 * blame.  Workers of nclust's own user could stop nclust anyway: their
 * descriptors are closed here.
 *
 * `by`: the worker that the descriptor comes from; NULL: not known.
 */
void foreign_close(struct supervisor *sup, const struct child *by, int *fd);
/* All descriptors of a message. */
void foreign_close_all(struct supervisor *sup, const struct child *by,
	struct fdpass_message *m);
/* Close a socket of ours to which others send.  What it has received is
 * discarded, with all descriptors in it. */
void foreign_end(struct supervisor *sup, const struct child *by, int *socket);

/* Before an upgrade, whose exec closes what is left: send all that waits. */
void foreign_settle(struct supervisor *sup);

void foreign_init(struct supervisor *sup);
void foreign_fini(struct supervisor *sup);
bool foreign_owns(const struct supervisor *sup, pid_t pid);
/* The closer has exited. */
void foreign_reap(struct supervisor *sup);

#endif
