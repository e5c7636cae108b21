/* SPDX-License-Identifier: MIT */
#ifndef CORE_QUIET_H
#define CORE_QUIET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is a connection quiet: has its server answered all that it was asked, as far as
 * that can be seen from outside?  Who is ended at such a moment loses nothing.
 * Pure functions over plain facts; the rules were measured (a request that was
 * lost for each of the shorter ones).
 *
 * What cannot be seen: an answer that comes in pieces with gaps longer than
 * QUIET_GAP_MS; that one of several requests sent at once is answered (HTTP/2,
 * pipelining); work that goes on behind the answer.  Where a process has no other
 * connection, what it does tells (drain_look.c).
 */

/* Times are in ms since then, as tcp_info has them: of the resolution of a
 * jiffy, so that what came within one has no order. */
struct quiet_facts {
	uint64_t cookie;
	bool is_tcp;     /* else only queues are known */
	bool is_open;    /* TCP: a request may come, or be under way */
	uint32_t unread; /* bytes received, not read; a FIN is none */
	uint32_t unsent; /* bytes written, not sent yet */
	uint32_t unacked;
	uint32_t sent_ago; /* data; the age, where nothing was */
	uint32_t received_ago;
	uint32_t ack_ago;
	uint32_t min_rtt;     /* us */
	uint32_t rtt;         /* us, smoothed */
	uint32_t segments_in; /* with data */
	uint32_t segments_out;
	uint32_t acks_out; /* segments without data */
};

/* What is kept of a connection from look to look. */
struct quiet_memory {
	uint64_t cookie;
	uint32_t segments_in;
	uint32_t segments_out;
	uint32_t acks_out;
	uint32_t acks_before; /* as many before the last segment came … */
	bool saw_before;      /* … if there was a look then */
	bool answered;        /* all that had come in by then */
	bool in_pieces;  /* it had said more than its answer, unasked … */
	uint8_t pieces;  /* … in so many looks since it was asked last */
	bool quiet;      /* it was, at that look */
	uint32_t for_ms; /* sockets other than TCP: so long, at that look */
};

/* Pieces of an answer that come within that time belong together. */
#define QUIET_GAP_MS 100

/* What has come in so many is a stream, which may pause for longer on a machine
 * that is busy. */
#define QUIET_STREAM_PIECES 2
#define QUIET_STREAM_MS 500

/* An answer within that time is no slow one, and came at once. */
#define QUIET_PROMPT_MS 20

/* A delayed ACK is no later than that where the way is no longer than that (us;
 * TCP_DELACK_MIN of the kernel's net/tcp.h), and some jiffies: at least … */
#define QUIET_ACK 40000
#define QUIET_ACK_TICKS 4
#define QUIET_ACK_SLACK 10000

/* What has no order, and has not moved for so long, is answered. */
#define QUIET_STILL_MS 5000

/*
 * `before`: what was remembered of this cookie at the look before, `since_ms`
 * ago; NULL: it was not there.  `tick`: a jiffy, us.  *now is to be kept for the
 * next look.
 */
bool quiet_connection(const struct quiet_facts *facts,
	const struct quiet_memory *before, uint32_t since_ms, unsigned tick,
	struct quiet_memory *now);

/* Nothing went over it, in either direction, for so long; of sockets other than
 * TCP: they were seen so. */
uint32_t quiet_idle_ms(
	const struct quiet_facts *facts, const struct quiet_memory *now);

/* The memory of a cookie in a list that was made at the look before, mostly in
 * the same order: *cursor (0 at first) is where the next one is likely to be. */
const struct quiet_memory *quiet_find(const struct quiet_memory *list,
	size_t count, size_t *cursor, uint64_t cookie);

#endif
