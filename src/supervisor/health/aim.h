/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AIM_H
#define SUPERVISOR_AIM_H

#include "os/socket/endpoint.h"
#include "os/socket/socket.h"
#include "supervisor/common/state.h"

/* The address at which workers are checked: that of their listener.  If that listens on
 * all addresses, the loopback address is used. */
struct aim {
	union endpoint address;
	socklen_t size;
	uint64_t inode;          /* of the listener, which may be gone */
	bool deferred;           /* a connection is accepted only after it sent data */
	struct socket_file file; /* of its path, which must lead to it; ino 0 */
	bool strange;            /* it leads somewhere else */
	char host[80];           /* for "Host:" */
};

/* The listener at which this worker is checked: the first stream listener of its
 * generation, else the first learned one that it uses (before it
 * uses any: that others do).  NULL: there is none (yet). */
const struct listener *aim_of(const struct child *child);
/* The one of the next worker in that slot. */
const struct listener *aim_next(const struct service *service, uint32_t slot);
/* Is the listener its slot's own? */
static inline bool aim_is_own(const struct listener *l)
{
	return l->address.each != NULL;
}

/* `l` may be NULL.  -1 and `err`: there is nothing that could be asked (yet). */
int aim_at(struct aim *aim, const struct listener *l, struct error *err);
/* connect(2) there.  ESTALE: somebody has put another file in the place of a unix
 * listener's, whose own program must not be asked with our rights. */
int aim_connect(const struct aim *aim, int fd);

#endif
