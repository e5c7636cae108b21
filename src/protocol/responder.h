/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_RESPONDER_H
#define PROTOCOL_RESPONDER_H

#include <stdint.h>

/*
 * Messages between nclust and the process that answers for a cluster without a
 * ready worker (responder/responder.h), a packet each.  Both are of the same
 * binary: an upgrade starts another process.
 */

/* Sent with the cluster's listening sockets: answer clients there, in place of the
 * last order for that cluster.  Without sockets: answer no more. */
struct responder_order {
	uint32_t cluster;
	uint32_t sockets; /* that come along */
	uint32_t wait;    /* Retry-After, in seconds, without next_try */
	int64_t next_try; /* a moment of clock_now(); Retry-After is the time until then */
	uint32_t page;    /* bytes of a page that follow; 0: the built-in page */
	char type[28];    /* of that page, with a NUL */
	char reason[64];  /* for the built-in page, with a NUL */
};

/* Sent by the process now and then. */
struct responder_count {
	uint32_t cluster;
	uint32_t answers; /* clients that were answered since the last packet */
};

#endif
