/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REQUESTS_H
#define SUPERVISOR_REQUESTS_H

#include "supervisor/control/clients.h"

/* Carry out one request line: decode it, check the client's right, run the method;
 * the answer is queued now, or the client waits for an outcome. */
void request_run(struct client *c, const char *line, size_t len);

/* An expectation of a waiting client may have come true or failed. */
void request_on_report(struct client *c, const struct service *service, const struct report *report,
	const char *sentence);
void request_look(struct client *c);
/* An upgrade is over: answer the clients that wait for it. */
void requests_upgraded(struct supervisor *sup, const char *text, bool failed);
/* A reload is over: clients that have asked for it get its mistakes, or wait for the
 * changes that it has begun. */
int control_on_reload(struct supervisor *sup, const struct settings *settings,
	struct reload_result *result, struct error *err);
/* Answer with c->outcome. */
void request_finish(struct client *c);

/* status.c: begin a status of all clusters, or only of one, or of one slot of it. */
void status_begin(struct client *c, struct service *only, uint32_t slot);
/* Does the status wait for a census before the first slice? */
bool status_waits(const struct client *c);
/* Queue the next slice; the client is idle again when the last one is queued. */
void status_slice(struct client *c);
/* The cluster is about to be freed: go on with the next one. */
void status_forget(struct client *c, const struct service *service);

struct child;
/* A hook (clients.c): counts of the messages to and from the worker. */
void control_on_status_worker(struct json_writer *w, const struct child *child);

#endif
