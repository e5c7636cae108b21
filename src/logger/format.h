/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

struct line;

/* The time now (RFC 3339, with milliseconds), and a blank. */
void format_time(struct buffer *to);
/* A line in other formats.  An object: time, cluster, slot, pid (if it is known), stream,
 * goes_on (if true) and message. */
void format_json(struct buffer *to, const struct line *l);
/* https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
void format_journal(struct buffer *to, const struct line *l);
/* RFC 5424; or `old`, as syslog(3) writes it: RFC 3164 without a host.  Control bytes
 * but tabs become \xNN. */
void format_syslog(struct buffer *to, const struct line *l, unsigned facility, bool old);
