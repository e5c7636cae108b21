/* SPDX-License-Identifier: MIT */
#ifndef RESPONDER_RESPONDER_H
#define RESPONDER_RESPONDER_H

#include <sys/types.h>

/*
 * The process that answers HTTP clients while a cluster has no ready worker
 * (`fallback`): 503, Retry-After and a page, and the connection is closed.  Started
 * by the supervisor from the same binary with one channel, by which it gets the
 * listening sockets when they are needed (protocol/responder.h).  These are
 * shared with workers, and a connection that one of them takes at once is its own.
 *
 * It gives up all rights, and lets itself be bound to what it has (os/sandbox.h).  It
 * ends when nclust has closed the channel, after those whom it was answering.
 * Returns the exit status: EX_NOPERM if the rights stay.  It writes nothing.
 */
int responder_main(int channel, uid_t user);

#endif
