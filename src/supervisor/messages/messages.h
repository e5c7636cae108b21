/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_H
#define SUPERVISOR_MESSAGES_H

#include "supervisor/messages/channel.h"

/*
 * Messages between workers, and to and from them: what a channel carries beside its protocol.  A
 * message is one JSON value on a line.  nclust passes its bytes on as they are and never parses
 * them into values, because no library here takes all that programs may send.
 */

/* A worker has sent this line (without its '\n'), on a channel of any kind: counts it, shows it to
 * clients that follow events, and relays it as `relay` says. */
void messages_from(struct channel *c, const char *line, size_t len);

/* A channel of any kind is closed. */
void messages_on_end(struct channel *c);

/* Sends a message from outside, one JSON value on one line: to the worker of a slot, to the next
 * ready worker in turn (SLOT_ALL), or to `all`.  Returns how many workers have it in their queues;
 * *asked: for how many it was meant. */
unsigned messages_send(struct service *service, uint32_t slot, bool all, const char *line,
	size_t len, unsigned *asked);
/* Has any worker of the service a channel? */
bool messages_possible(const struct service *service);

/* Shows a message to clients that follow events; `valid`: it is JSON. */
void messages_show(const struct channel *c, const char *line, size_t len, bool valid);

#endif
