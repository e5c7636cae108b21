/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_H
#define SUPERVISOR_MESSAGES_H

#include "supervisor/messages/channel.h"

/*
 * Messages between workers, and to and from them: what a channel carries beside
 * its protocol.  One JSON value a line, which is passed on as the bytes that it
 * is and never taken apart: programs may send what no library here would take.
 */

/* A worker has sent this line (without its '\n'), whatever its channel's kind:
 * it is counted, shown to who follows events, and relayed as `relay` says. */
void messages_from(struct channel *c, const char *line, size_t len);

/* The plain channel's speaker: each line is a message. */
void messages_on_line(struct channel *c, const char *line, size_t len);
void messages_on_end(struct channel *c);

/*
 * A message from outside, which is one JSON value on one line: to the worker of
 * a slot, to the next in turn of those that are ready (SLOT_ALL), or to `all`.
 * How many got it into their queues; *asked: of so many.
 */
unsigned messages_send(struct service *service, uint32_t slot, bool all,
	const char *line, size_t len, unsigned *asked);
/* Has any of its workers a channel? */
bool messages_possible(const struct service *service);

/* To who follows events; `valid`: it is JSON. */
void messages_show(
	const struct channel *c, const char *line, size_t len, bool valid);

#endif
