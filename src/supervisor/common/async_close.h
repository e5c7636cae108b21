/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/fdpass.h"
#include "supervisor/common/state.h"

/*
 * Descriptors that workers have made: close(2) of such a descriptor may block for any time (a file
 * server that does not answer, SO_LINGER, the lock of an epoll set).  So a child that shares
 * nclust's descriptor table closes them (os/vfork.h); if the child hangs, it is left alone, and
 * nclust kills the worker that the descriptor comes from.  Descriptors that are sent to nclust do
 * not even get into its table (fdpass_receive_apart()).
 *
 * If no process can have fewer rights than nclust, nclust calls close(2) directly.
 *
 * `by` is the worker that the descriptor comes from; NULL: not known.
 */

/* As fdpass_receive() and fdpass_read(); the caller drops what the message has.  -1 and EBUSY:
 * descriptors that came along cannot be received now, and the message stays in the socket. */
int async_close_receive(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, struct fdpass_message *m);
ssize_t async_close_read(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, enum fdpass_take take, struct fdpass_message *m);
/* Close as soon as this turn ends, together with others, which costs less. */
void async_close(struct supervisor *sup, const struct child *by, int *fd);
/* Close before the function returns, unless that takes too long: for an address that must be free,
 * or a worker that waits. */
void async_close_now(struct supervisor *sup, const struct child *by, int *fd);
/* Shut down and close a unix socket that no other process needs.  A peer sees the end at once; the
 * number may be free a moment later, if descriptors may wait in the queue. */
void async_hang_up(struct supervisor *sup, const struct child *by, int *fd);
/* Before an upgrade: close all that waits, because execve(2) would block on it. */
void async_close_settle(struct supervisor *sup);
/* Is everything closed? */
bool async_close_is_settled(const struct supervisor *sup);

void async_close_init(struct supervisor *sup);
void async_close_fini(struct supervisor *sup);
