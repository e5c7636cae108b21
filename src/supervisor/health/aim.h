/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AIM_H
#define SUPERVISOR_AIM_H

#include "os/socket/endpoint.h"
#include "supervisor/common/state.h"

/* The address at which the workers of a cluster are checked: that of its first
 * stream listener, else of its first learned one.  If that listens on all
 * addresses, the loopback address is used. */
struct aim {
	union endpoint address;
	socklen_t size;
	const struct listener *listener; /* until others are in force */
	bool deferred; /* a connection is accepted only after it sent data */
	char host[80]; /* for "Host:" */
};

/* `slot`: whose worker is meant, if each has an address of its own there
 * (aim_is_own()).  -1 and `err`: there is nowhere (yet). */
int aim_at(struct aim *aim, const struct service *service, uint32_t slot,
	struct error *err);
static inline bool aim_is_own(const struct aim *aim)
{
	return aim->listener->address.each != NULL;
}

#endif
