/* SPDX-License-Identifier: MIT */
#ifndef RESPONDER_RESPONDER_H
#define RESPONDER_RESPONDER_H

#include <sys/types.h>

/*
 * The process that answers HTTP clients while a cluster has no ready worker
 * (`fallback`): 503, Retry-After and a page, and the connection is closed.  The
 * supervisor starts it from the same binary with one channel, by which it gets the
 * listening sockets when they are needed (protocol/responder.h).  These are shared
 * with workers; a connection that a worker takes at once is the worker's.
 *
 * The process gives up all rights, and lets itself be bound to its descriptors
 * (os/privilege.h).  It ends when nclust has closed the channel, after its last guests.
 * Returns the exit status: EX_NOPERM if the rights stay.  It writes nothing.
 */
int responder_main(int channel, uid_t user);

#endif
