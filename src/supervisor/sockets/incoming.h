/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/state.h"

/* Which of the connections that the kernel lists have come to a listener of nclust? */

/* The TCP ports of all listeners, a bit each. */
struct incoming {
	uint8_t ports[UINT16_MAX / 8 + 1];
};
void incoming_init(struct incoming *in, const struct supervisor *sup);
bool incoming_has(const struct incoming *in, uint16_t port);

/* The inodes of connections to its unix sockets. */
void incoming_each_unix(
	const struct supervisor *sup, void (*each)(void *context, uint64_t inode), void *context);
