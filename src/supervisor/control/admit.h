/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* The other end of this stream is one of nclust's roles: add it as a reader.  Takes
 * over the descriptor.  -1: out of memory. */
int clients_add_own(struct supervisor *sup, int fd);

/* Clients have come to the control socket. */
void clients_on_connect(struct ev_loop *loop, ev_io *watcher, int revents);
