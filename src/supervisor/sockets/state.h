/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SOCKETS_STATE_H
#define SUPERVISOR_SOCKETS_STATE_H

#include <ev.h>

/* What this room alone knows: it is in struct supervisor of common/state.h. */
struct sockets {
	ev_io heal;    /* its fd: an epoll set, see heal.h */
	ev_timer trim; /* learned listeners that nobody uses (learned.h) */
};

#endif
