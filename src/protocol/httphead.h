/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Heads of HTTP/1 (RFC 9112) for requests that are handed on to another server.  Pure functions
 * without memory of their own, also for a child on nclust's memory.
 */
#define HTTPHEAD_MOST (64U * 1024)

enum httphead_verdict {
	HTTPHEAD_INCOMPLETE, /* the end of the head is not there yet */
	HTTPHEAD_BAD,        /* not HTTP/1.1 to the letter, or longer than HTTPHEAD_MOST */
	HTTPHEAD_OK,
};

struct httphead_request {
	size_t head;      /* bytes of the head, with its empty line */
	uint64_t body;    /* Content-Length, or 0 */
	unsigned lengths; /* fields of that name */
	unsigned hosts;
	bool is_head;
	bool has_transfer_encoding;
	bool expects;
	bool is_bound; /* to its connection: CONNECT, Upgrade, Authorization of NTLM or Negotiate */
};

/*
 * Read the head of a request.  It is read strictly, so that no server finds another end of it, or
 * of its body: lines end with CRLF, none is folded, one Host, one Content-Length or none, and not
 * together with Transfer-Encoding.  `to` is filled in only if HTTPHEAD_OK is returned.
 */
enum httphead_verdict httphead_request(const char *data, size_t len, struct httphead_request *to);

/* Are the `len` bytes exactly this request, and may any server be asked it by a new connection? */
bool httphead_may_hand_on(const struct httphead_request *r, size_t len);

/* The size of a head, with its empty line, read as leniently as clients do; 0: its end is not there. */
size_t httphead_size(const char *data, size_t len);

/*
 * Write this head, of a request or an answer, with "Connection: close" as its first field, and
 * without keep-alive; other names in Connection stay.  Returns its length, or 0 if it does not fit.
 */
size_t httphead_close(char *to, size_t room, const char *head, size_t size);
