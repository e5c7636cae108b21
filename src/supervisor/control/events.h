/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CONTROL_EVENTS_H
#define SUPERVISOR_CONTROL_EVENTS_H

#include "supervisor/control/clients.h"

/*
 * The answer of `events`: the history (common/news.h), in slices so that neither
 * a turn nor the client's buffer is long, and then new events, for a client that
 * follows.  Between the two no event is lost, and none comes twice.
 */

/* Begin; the target is the name of a cluster, or "", and c->only_slot a slot of it. */
void events_begin(struct client *c);
/* Queue the next slice; `all`: the whole rest of the history.  After that the client
 * is idle or follows. */
void events_slice(struct client *c, bool all);

/* Has the client asked for this event? */
bool events_want(const struct client *c, const char *json, size_t len);

/* No such cluster or slot exists: did one exist before?  Then it becomes the
 * request's target. */
bool events_remember(struct client *c, const struct control_target *t);

#endif
