/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/control/control.h"

/* ---- requests ---- */

/* Carry out one request line: decode it, check the client's right, run the method;
 * the answer is queued now, or the client waits for an outcome. */
void request_run(struct client *c, const char *line, size_t len);

/* ---- events ---- */

/*
 * The answer of `events`: the history (common/news.h), and then new events, for a client that
 * follows.  The target is the name of a cluster, or "", and c->only_slot a slot of it.
 */
void events_begin(struct client *c);

/* Has the client asked for this event? */
bool events_want(const struct client *c, const char *json, size_t len);

/* No such cluster or slot exists: did one exist before?  Then it becomes the
 * request's target. */
bool events_remember(struct client *c, const struct control_target *t);

/* ---- showlogs ---- */

/*
 * The answer of `logs`: files with the output of workers (workers/slotlog.h),
 * open for reading alone, some with each answer.  The client reads them, so that
 * nclust has neither this work nor anything to follow.  A client that follows,
 * and has got all files, is answered when there is a further one.
 *
 * The target is the name of a cluster, or "", and c->only_slot a slot of it.
 */
void showlogs_begin(struct client *c);

/* The client follows, and a further file is kept. */
void showlogs_look(struct client *c);
