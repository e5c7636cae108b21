/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_AIM_H
#define SUPERVISOR_AIM_H

#include "supervisor/common/state.h"

#include <netinet/in.h>
#include <sys/un.h>

/* The address at which the workers of a cluster are checked: that of its first
 * stream listener, else of its first learned one.  If that listens on all
 * addresses, the loopback address is used. */
struct aim {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage room;
	} address;
	socklen_t size;
	const struct listener *listener; /* until others are in force */
	bool deferred; /* a connection is accepted only after it sent data */
	char host[80]; /* for "Host:" */
};

/* -1 and `err`: there is nowhere (yet). */
int aim_at(struct aim *aim, const struct service *service, struct error *err);

#endif
