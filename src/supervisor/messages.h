/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_H
#define SUPERVISOR_MESSAGES_H

#include "supervisor/channel.h"

/*
 * Messages between workers, and to and from them: what a channel carries beside
 * its protocol.  One JSON value a line, which is passed on as the bytes that it
 * is and never taken apart: programs may send what no library here would take.
 */

/* A worker has sent this line (without its '\n'), whatever its channel's kind. */
void messages_from(struct channel *c, const char *line, size_t len);

/* The plain channel's speaker: each line is a message. */
void messages_on_line(struct channel *c, const char *line, size_t len);
void messages_on_end(struct channel *c);

#endif
