/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_FORMAT_H
#define LOGGER_FORMAT_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* A worker's line in other formats: JSON, the journal's fields, syslog. */
struct format_line {
	const char *cluster;
	uint32_t slot;
	uint32_t pid; /* 0: unknown */
	uint32_t generation;
	uint64_t worker; /* 0: a line of nclust's own */
	bool is_stderr;
	bool goes_on; /* a continuation of the line before */
	const char *text;
	size_t len;
};

/* An object: time, cluster, slot, pid (if it is known), stream, goes_on (if true) and message. */
void format_json(struct buffer *to, const struct format_line *l);
/* https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
void format_journal(struct buffer *to, const struct format_line *l);
/* RFC 5424; or `old`, as syslog(3) writes it: RFC 3164 without a host.  Control bytes
 * but tabs become \xNN. */
void format_syslog(struct buffer *to, const struct format_line *l, unsigned facility, bool old);

#endif
