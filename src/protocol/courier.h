/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Messages between nclust and its courier (courier/courier.h), a packet each.  An upgrade goes on
 * with the courier of the version before: members and kinds are only added, at the end.
 *
 * nclust gives a connection to the courier by COURIER_ASK or COURIER_HOLD, and hears of its end by
 * one COURIER_DONE.  What comes for a connection that the courier no longer has is ignored.
 */
enum courier_kind {
	/* to the courier */
	COURIER_ASK = 1, /* + client, server, and `size` bytes: send this request to the server,
			  * which is connected, and its answer to the client.  A worker that lives
			  * has the client's socket, too, but the request was taken out of it. */
	COURIER_HOLD,    /* + client, of a worker that gets its stop signal: read nothing yet */
	COURIER_LET_GO, /* that worker has closed this connection: close it, if the worker has read or
			 * sent anything since; or (0) goes on: close what is held */
	COURIER_ENDED,  /* the worker has ended: its connections may be read */
	COURIER_SERVER, /* + server, which may still be connecting: the answer to COURIER_WANT.
			  * Without a descriptor: no worker takes it, close the client's. */
	/* from the courier */
	COURIER_WANT, /* + client: the head of a request is there on a connection that was held */
	COURIER_DONE, /* the courier has closed this connection */
	/* `fallback` */
	COURIER_ORDER, /* to the courier, + sockets, and `size` bytes: a struct courier_order */
	COURIER_COUNT, /* from it: `received` clients of `cluster` were answered since the last one */
};

enum courier_outcome {
	COURIER_ANSWERED = 1,
	COURIER_REFUSED, /* the answer was a 400, or the server closed without a byte */
	COURIER_MIXED,   /* the client sent more before its answer was out, and was reset */
	COURIER_BROKEN,  /* the server's answer is not whole, or the courier could not ask */
	COURIER_LEFT,    /* the client has left before it had its answer */
	COURIER_IDLE,    /* no request came, or none that can be handed on, or COURIER_LET_GO */
};

struct courier_packet {
	uint32_t kind;
	uint32_t outcome; /* of COURIER_DONE */
	uint64_t cookie;  /* SO_COOKIE of the client's socket: the name of the connection; or 0 */
	uint64_t worker;  /* of COURIER_HOLD, _LET_GO and _ENDED; the courier sends it back */
	uint32_t cluster; /* the courier sends it back */
	uint32_t size;    /* bytes of the request or order, which follow the packet */
	/* TCP: tcpi_bytes_received with the request's last byte, or at COURIER_HOLD; 0: as it is now */
	uint64_t received;
	uint64_t sent; /* of COURIER_HOLD, TCP: bytes that the worker had sent by then */
};
#define COURIER_PACKET_LEAST offsetof(struct courier_packet, sent) /* of an earlier version */

/* Sent with the cluster's listening sockets: answer clients there, in place of the last order for that
 * cluster.  Without sockets: answer no more. */
struct courier_order {
	uint32_t cluster; /* 0: all that an earlier nclust has ordered, which is over */
	uint32_t wait;    /* Retry-After, in seconds, without next_try */
	int64_t next_try; /* a moment of clock_now(); Retry-After is the time until then */
	uint32_t page;    /* bytes of a page that follow; 0: the built-in page */
	char type[28];    /* of that page, with a NUL */
	char reason[64];  /* for the built-in page, with a NUL */
};

#define COURIER_REQUEST_MOST 32768 /* bytes of the request of a COURIER_ASK */
/* Connections that the courier has at once; the one that it has held longest makes room. */
#define COURIER_MOST 4096
