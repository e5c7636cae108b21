/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_HTTPSTATUS_H
#define PROTOCOL_HTTPSTATUS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * As much of HTTP/1 as a check needs (RFC 9112): one request, and the first
 * line of its answer.
 */
#define HTTPSTATUS_MAX 256 /* longer first lines are none */
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

enum httpstatus_kind {
	HTTPSTATUS_MORE, /* not complete yet */
	HTTPSTATUS_CODE, /* *code, 100 to 599 */
	HTTPSTATUS_NONE, /* not HTTP/1 */
};
/* The beginning of an answer, once `len` bytes have come.  Interim answers (100 to
 * 199, without 101) are skipped. */
enum httpstatus_kind httpstatus_parse(const char *data, size_t len, unsigned *code);

static inline bool httpstatus_is_well(unsigned code)
{
	return code >= 200 && code < 400;
}

#endif
