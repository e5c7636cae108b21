/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FOREIGN_H
#define SUPERVISOR_FOREIGN_H

#include "os/fdpass.h"
#include "supervisor/common/state.h"

/*
 * Descriptors that others have made: close(2) of one may take any time.
 *
 * What is sent to nclust does not get into its table (fdpass_receive_apart()), but
 * for a socket where one is asked for.  What nclust itself takes from a worker is a
 * socket, an epoll set or a pipe (remote_fd()).  To close one of those may wait, too:
 * for what SO_LINGER wants to be sent, for the lock of an epoll set.  So a child that
 * shares our descriptors closes them (os/vfork.h), beside the loop.  If a child hangs,
 * nclust kills the worker to blame.  Where nobody has fewer rights than nclust, all
 * this is done at once, and by itself: its own user can stop it anyway.
 *
 * `by`: the worker that the descriptor comes from; NULL: not known.
 */

/* As fdpass_receive() and, with at most one socket, fdpass_read().  -1 and EBUSY:
 * what came along cannot be received, and stays where it is. */
int foreign_receive(struct supervisor *sup, const struct child *by, int fd, void *data, size_t size,
	struct fdpass_message *m);
ssize_t foreign_read(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, enum fdpass_take take, struct fdpass_message *m);
void foreign_close(struct supervisor *sup, const struct child *by, int *fd);
/* The same within 10 ms, together with others, so that it costs less. */
void foreign_close_later(struct supervisor *sup, const struct child *by, int *fd);
/* The same before it returns, unless that takes too long: if the address must
 * be free, or a worker waits for it. */
void foreign_close_now(struct supervisor *sup, const struct child *by, int *fd);
/* The same of a unix connection that nobody else has; the other end may have sent
 * descriptors.  It sees the end before, and the number is free a moment later. */
void foreign_hang_up(struct supervisor *sup, const struct child *by, int *fd);
/* All descriptors of a message. */
void foreign_close_all(struct supervisor *sup, const struct child *by, struct fdpass_message *m);
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
