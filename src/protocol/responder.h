/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_RESPONDER_H
#define PROTOCOL_RESPONDER_H

#include <stdint.h>

/*
 * What nclust and the process that answers for a cluster without a ready worker
 * (responder/responder.h) say to each other, a packet each.  Both are of the same
 * binary: an upgrade starts another one.
 */

/* With the cluster's listening sockets: answer who connects there, instead of what
 * was said of that cluster before.  Without any: no more. */
struct responder_order {
	uint32_t cluster;
	uint32_t number;  /* each order has another one */
	uint32_t wait;    /* Retry-After, in seconds … */
	int64_t next_try; /* … unless this moment (clock_now()) is to come */
	uint32_t page;    /* so many bytes of a page follow; 0: our own */
	char type[28];    /* of it, with a NUL */
	char reason[64];  /* of our own page, with a NUL */
};

/* Its answer, at once to each order, and now and then. */
struct responder_count {
	uint32_t cluster;
	uint32_t answers; /* so many clients more were answered */
	uint32_t number;  /* of the order that it answers; 0: of none */
	uint32_t sockets; /* that it got */
};

#endif
