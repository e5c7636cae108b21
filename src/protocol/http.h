/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- httpstatus ---- */

/* A request of HTTP/1 (RFC 9112), as a check sends it. */
#define HTTPREQUEST_MAX 8192

/* What is asked for is "/path", of the host where the worker listens, or
 * "//HOST/path".  Sets *host to the latter's; returns the length of *host. */
size_t httpstatus_host(const char *what, const char **host);

/*
 * "GET path HTTP/1.1" and a head into `to`, with its end; `lines`: more of the head.
 * A server does not answer before it has the last two bytes.  Returns the length; 0:
 * the request does not fit, or the path has bytes that would end the line.
 */
size_t httpstatus_request(char *to, size_t size, const char *what, const char *host,
	char *const *lines, size_t count);

/* Does the status of an answer say that the worker is well? */
static inline bool httpstatus_is_well(unsigned code)
{
	return code >= 200 && code < 400;
}

/* ---- httpanswer ---- */

/*
 * An answer of HTTP/1 (RFC 9112) to a request with "Connection: close": its status,
 * and how far it has come.  Its body ends by its length, with its last chunk, or with
 * the connection.  Interim answers are skipped.
 */
#define HTTPANSWER_HEAD_MAX (64U * 1024)

enum httpanswer_state {
	HTTPANSWER_STATUS,
	HTTPANSWER_FIELDS,
	HTTPANSWER_BODY,      /* `left` bytes of the body follow */
	HTTPANSWER_OPEN_BODY, /* until the connection ends */
	HTTPANSWER_SIZE,      /* of a chunk */
	HTTPANSWER_CHUNK,     /* `left` bytes of the chunk follow */
	HTTPANSWER_CHUNK_END,
	HTTPANSWER_TRAILER,
	HTTPANSWER_WHOLE,
	HTTPANSWER_BAD,
};

struct httpanswer {
	enum httpanswer_state state;
	bool bodiless; /* the request was HEAD */
	unsigned status;
	bool has_length;
	bool chunked;
	uint64_t left;
	size_t head;    /* bytes of heads, or of lines since the last chunk began */
	char line[256]; /* a line that is not complete yet, or its beginning */
	size_t line_len;
};

void httpanswer_init(struct httpanswer *h, bool bodiless);
/* Take what has come, up to the end of the answer. */
void httpanswer_take(struct httpanswer *h, const char *data, size_t len);
/* The connection has ended: is the answer whole? */
bool httpanswer_ended(const struct httpanswer *h);
