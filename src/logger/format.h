/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_FORMAT_H
#define LOGGER_FORMAT_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* A line of a worker as others want it: JSON, the journal's fields, syslog. */
struct format_line {
	const char *cluster;
	uint32_t slot;
	uint32_t pid; /* 0: not known */
	uint32_t generation;
	uint64_t worker; /* 0: nclust says it */
	bool is_stderr;
	bool goes_on; /* a piece of the line before */
	const char *text;
	size_t len;
};

/* {"time":…,"cluster":…,"slot":…,"pid":…,"stream":…,"message":…} */
void format_json(struct buffer *to, const struct format_line *l);
/* https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
void format_journal(struct buffer *to, const struct format_line *l);
/* RFC 5424; or `old`, as syslog(3) writes it: RFC 3164 without a host.  Control bytes
 * but tabs become \xNN. */
void format_syslog(struct buffer *to, const struct format_line *l, unsigned facility, bool old);

#endif
