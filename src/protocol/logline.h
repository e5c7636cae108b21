/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_LOGLINE_H
#define PROTOCOL_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A line of a worker's output, as the logger keeps it for `nclust logs`:
 *
 *	1795167360.123 1 4711 |its bytes, but for the newline
 *
 * which is the time in seconds since 1970, the stream (1: stdout, 2: stderr), the
 * worker's pid, and what follows.  A line that begins with the kind has all of
 * that from the line before, because most come together.  The logger has fewer rights
 * than the processes that read the lines: these must expect anything else there, too.
 */
enum logline_kind {
	LOGLINE_BEGINS = '|',
	LOGLINE_GOES_ON = '+', /* it continues the piece before */
	LOGLINE_LEFT_OUT = '~' /* so many lines were not kept: a number */
};

struct logline {
	int64_t ms; /* since 1970 */
	unsigned stream;
	int pid;
	enum logline_kind kind;
	const char *text; /* may hold any byte but a newline */
	size_t len;
};

/* What stands before the kind; its length. */
#define LOGLINE_HEAD 48
size_t logline_head(char to[LOGLINE_HEAD], int64_t ms, unsigned stream, int pid);

/* Take a line, given without its newline; `text` borrows from it.  *l is the line
 * before, or all zeros.  false: it is none. */
bool logline_parse(struct logline *l, const char *line, size_t len);

#endif
