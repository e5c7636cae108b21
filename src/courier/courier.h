/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * The process that carries HTTP/1 requests which a stopping worker has not read to another worker,
 * and the answers to their clients, so that no client has to ask again.  The supervisor starts it
 * from the same binary with one channel, by which it gets the sockets of clients and of servers
 * (protocol/courier.h).  Each connection carries one request and ends: both sides get Connection:
 * close.  A body is not stored: what one socket does not take stays in the other one.  It also
 * answers clients of clusters without a ready worker (answerer.h).
 *
 * The process gives up all rights, and lets itself be bound to its descriptors (os/privilege.h).
 * When nclust has closed the channel it ends after the requests that it has in hand.  Returns the
 * exit status: EX_NOPERM if the rights stay.  It writes nothing.
 */
int courier_main(int channel, uid_t user);
