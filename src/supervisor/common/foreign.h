/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FOREIGN_H
#define SUPERVISOR_FOREIGN_H

#include "supervisor/common/state.h"

struct fdpass_message;

/*
 * Closes descriptors that others have made: one that came by a socket or was
 * taken from a worker, and a socket of ours in which more may be on their way.
 * close(2) of such a descriptor may take any time: for what SO_LINGER wants to
 * be sent, for a file server that does not answer (FUSE and NFS flush at each
 * close), for a lock of an epoll set.  So a child that shares our descriptors
 * closes them (os/vfork.h), beside the loop.  If it hangs, nclust kills the worker
 * to blame.  Where nobody has fewer rights than nclust, they are closed at once:
 * its own user can stop it anyway.
 *
 * `by`: the worker that the descriptor comes from; NULL: not known.
 */
void foreign_close(struct supervisor *sup, const struct child *by, int *fd);
/* The same before it returns, unless that takes too long: if the address must
 * be free, or a worker waits for it. */
void foreign_close_now(struct supervisor *sup, const struct child *by, int *fd);
/* All descriptors of a message. */
void foreign_close_all(struct supervisor *sup, const struct child *by,
	struct fdpass_message *m);
/* Before an upgrade, whose exec closes what is left: close all that waits. */
void foreign_settle(struct supervisor *sup);
/* Is nothing left?  Else that exec would wait for it. */
bool foreign_is_settled(const struct supervisor *sup);

void foreign_init(struct supervisor *sup);
void foreign_fini(struct supervisor *sup);
/* Is it a child that closes, or one that hangs? */
bool foreign_owns(const struct supervisor *sup, pid_t pid);
void foreign_reap(struct supervisor *sup, pid_t pid);

#endif
