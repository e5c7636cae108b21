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
	uint32_t wait;    /* Retry-After, in seconds … */
	int64_t next_try; /* … unless this moment (clock_now()) is to come */
	uint32_t page;    /* so many bytes of a page follow; 0: our own */
	char type[28];    /* of it, with a NUL */
	char reason[64];  /* of our own page, with a NUL */
};

/* The answer now and then: so many clients more were answered. */
struct responder_count {
	uint32_t cluster;
	uint32_t answers;
};

#endif
