/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/control/control.h"

/* ---- clients ---- */

void client_free(struct client *c);
/* Complete answers that are under way: the next nclust may write them differently. */
void clients_settle(struct supervisor *sup);
/* Send a refusal, and close the connection unread: messages in its queue may hold
 * very many descriptors. */
void clients_turn_away(struct supervisor *sup, int *fd, int code, const char *why);
/* Keep a descriptor for refusing a client when no other is left. */
void clients_keep_reserve(struct supervisor *sup);
/* Look each second at clients that do not read or send. */
void clients_arm_bounds(struct supervisor *sup);
/* admit.c: clients have come to the control socket. */
void clients_on_connect(struct ev_loop *loop, ev_io *watcher, int revents);

/* ---- requests ---- */

/* Carry out one request line: decode it, check the client's right, run the method;
 * the answer is queued now, or the client waits for an outcome. */
void request_run(struct client *c, const char *line, size_t len);

/* ---- outcomes ---- */

/* The client waits until the last change of this cluster is over.  -1 and `err`: out of memory. */
int request_expect(struct client *c, struct service *service, struct error *err);
/* Expect nothing more of this cluster, or (NULL) of any. */
void request_expect_no_more(struct client *c, const struct service *of);
/* The request is under way: answer when all that is expected has come, or now. */
void request_await(struct client *c);
/* Answer with c->outcome. */
void request_finish(struct client *c);
/* nclust ends: answer with what is known. */
void request_cut_off(struct client *c);

/* ---- status ---- */

/* status.c: answer with a status of all clusters, or of that of the target, or of c->only_slot of
 * it; at once, or after a census. */
void status_begin(struct client *c);

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
 * The answer of `logs`: files with the output of workers (workers/capture.h),
 * open for reading alone, some with each answer.  The client reads them, so that
 * nclust has neither this work nor anything to follow.  A client that follows,
 * and has got all files, is answered when there is a further one.
 *
 * The target is the name of a cluster, or "", and c->only_slot a slot of it.
 */
void showlogs_begin(struct client *c);

/* The client follows, and a further file is kept. */
void showlogs_look(struct client *c);
