/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CONTROL_EVENTS_H
#define SUPERVISOR_CONTROL_EVENTS_H

#include "supervisor/control/clients.h"

/*
 * What `events` answers: the history (common/news.h), in slices so that neither
 * a turn nor the client's buffer is long, and then, for one that follows, what
 * happens.  Between the two no event is lost, and none comes twice.
 */

/* The target is the name of a cluster, or "", and c->only_slot a slot of it. */
void events_begin(struct client *c);
/* Queue what comes next; `all`: as far as the history goes.  The client is idle or
 * follows when that is done. */
void events_slice(struct client *c, bool all);

/* Has the client asked for this event? */
bool events_want(const struct client *c, const char *json, size_t len);

/* There is no such cluster or slot: was there one?  Then it becomes the request's
 * target. */
bool events_remember(struct client *c, const struct control_target *t);

#endif
