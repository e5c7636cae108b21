/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/look.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A connection is quiet when the last word was the worker's and 100 ms have
 * passed in which nothing came or went; until half of drain-timeout any doubt
 * counts as busy.  A worker that is ended at such a moment loses nothing.  Pure
 * functions over plain facts of the kernel.
 *
 * Three things cannot be seen.  An answer may come in pieces with longer gaps.
 * Of several requests that were sent at once (HTTP/2, pipelining) some may not be
 * answered yet.  A worker may go on with its work after the answer.
 */

/* What is kept of a connection from look to look. */
struct quiet_memory {
	uint64_t cookie;
	uint32_t segments_in;
	uint32_t segments_out;
	uint32_t acks_out;
	uint32_t acks_before; /* acks_out before the last segment; UINT32_MAX: unknown */
	bool answered;        /* all that had come by that look */
	bool quiet;           /* the connection was quiet at that look */
	bool guessed;         /* so it is only because half of the time is over: it may go on */
	bool asks_soon;       /* quiet, but for its client, who is about to ask (drain_look.c) */
	bool tied;            /* TCP: nothing shows whether the answer was the last word */
	uint32_t for_ms;      /* sockets other than TCP: for how long, at that look */
	bool was_served;      /* nothing lay unread at some look */
	bool spoke;           /* something has come since the first look */
	bool rested;          /* it was quiet at some look before half of the time was over */
	bool http;            /* such a head was seen */
	bool frames;          /* such a message was seen */
	bool asks;            /* such a message was seen that may want an answer */
	bool unknown;         /* a request of neither was seen */
	bool handed;          /* the courier has its request */
	bool lost;            /* and has ended: nobody answers it */
	bool held;            /* the courier holds a duplicate */
	/* When the worker has read `read` bytes of it and has sent more than QUIET_INTERIM bytes
	 * beyond `sent`, it has answered all that it read; fewer bytes suffice if the request before
	 * had an answer, too (`again`): "100 Continue" is sent once. */
	bool marked;
	bool again;
	uint64_t read;
	uint64_t sent;
	bool answer_waits; /* unix: all was read, and the client had yet to read an answer */
};

/* An answer of so few bytes may be "100 Continue", after which a body follows. */
#define QUIET_INTERIM 64

/* A WebSocket's message of so many bytes is a heartbeat (socket.io). */
#define QUIET_HEARTBEAT 7
/* Quiet for so long: nothing came or went (and one round trip more). */
#define QUIET_GAP_MS 100
/* In the second half of drain-timeout a connection that has never rested is quiet when
 * what came so long ago at most is answered. */
#define QUIET_BUSY_MS 1000
/* As QUIET_GAP_MS, where nothing shows whether an answer is to come: of a socket that is not TCP,
 * or within the kernel's resolution of time.  Until then it is in doubt. */
#define QUIET_UNSEEN_MS 5000

/* A delayed ACK comes within this time where the round trip is no longer than that
 * (us; TCP_DELACK_MIN of the kernel's net/tcp.h), and some jiffies. */
#define QUIET_ACK 40000
#define QUIET_ACK_TICKS 4
#define QUIET_ACK_SLACK 10000

/* An ACK that leaves so much later (ms) than data came may be the answer to a probe
 * (SO_KEEPALIVE). */
#define QUIET_PROBE_MS 1000

/* TCP: may a request come on the connection, or be in progress? */
bool quiet_is_open(const struct connection *c);

/*
 * Times are of the resolution of a jiffy, so that events within one jiffy have no order.
 * `before`: what was remembered of this cookie at the look before, `since_ms`
 * ago; NULL: a new connection.  `late`: half of the time is over.  `slow`: answers
 * of this worker may take as long as QUIET_UNSEEN_MS.  `tick`: a jiffy, us.  *now
 * is to be kept for the next look.
 */
bool quiet_connection(const struct connection *c, const struct quiet_memory *before,
	uint32_t since_ms, unsigned tick, bool late, bool slow, struct quiet_memory *now);

/* Has the worker read all requests of the connection whole and answered them, so that what lies
 * unread begins with another request?  A body that looks like a request must never be taken for
 * one.  `now` was filled in by quiet_connection(). */
bool quiet_is_between(const struct connection *c, const struct quiet_memory *now);

/* May the connection stay open until the worker ends, as no request is in progress
 * over it?  What the worker sends after a quiet look answers no request, if nothing
 * has come since.  A WebSocket whose client never pauses has been `waited` for. */
bool quiet_stays(const struct connection *c, const struct quiet_memory *before, bool waited,
	const struct quiet_memory *now);

/* Find a cookie in the list of the look before.  The list is sorted by cookie, and
 * so are the calls: *at (0 at first) is the place reached. */
const struct quiet_memory *quiet_find(
	const struct quiet_memory *list, size_t count, size_t *at, uint64_t cookie);
