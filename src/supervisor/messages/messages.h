/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_H
#define SUPERVISOR_MESSAGES_H

#include "supervisor/messages/channel.h"

/*
 * Messages between workers, and to and from them: what a channel carries beside
 * its protocol.  A message is one JSON value on a line.  Its bytes are passed
 * on as they are and never parsed into values, because no library here takes
 * all that programs may send.
 */

/* A worker has sent this line (without its '\n'), on a channel of any kind:
 * count it, show it to clients that follow events, and relay it as `relay`
 * says. */
void messages_from(struct channel *c, const char *line, size_t len);

/* A channel of any kind is closed. */
void messages_on_end(struct channel *c);

/* Send a message from outside, one JSON value on one line: to the worker of a
 * slot, to the next ready one in turn (SLOT_ALL), or to `all`.  Returns how
 * many have it in their queues; *asked: how many it was meant for. */
unsigned messages_send(struct service *service, uint32_t slot, bool all, const char *line,
	size_t len, unsigned *asked);
/* Has any worker of the service a channel? */
bool messages_possible(const struct service *service);

/* Show a message to clients that follow events; `valid`: it is JSON. */
void messages_show(const struct channel *c, const char *line, size_t len, bool valid);

#endif
