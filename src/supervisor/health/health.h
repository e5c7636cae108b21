/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/look.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

void health_on_born(struct child *child);
void health_on_gone(struct child *child);
void health_on_adopted(struct service *service);
void health_on_report(struct service *service, const struct report *report);
void health_on_reloaded(struct service *service);
void health_on_status_worker(struct json_writer *w, const struct child *child);
void health_on_drop(struct service *service);
void health_on_go_on(struct supervisor *sup);

/* How a worker's health goes through an upgrade. */
extern const struct carried carried_health;

/* The worker's health, made on first use.  NULL: out of memory. */
struct health *health_of(struct child *child);

/* Is this worker ready, and wanted to be? */
bool health_is_ready(const struct child *child);
/* Are these the same, as what is asked by a connection? */
bool health_same_probe(const struct probe *a, const struct probe *b);

/* Must a drain not wait for this connection of the worker?  So it is for a check of nclust's own,
 * which the worker may never read, and for a request that exceeds request-timeout. */
bool health_gives_up(const struct child *child, const struct connection *c);
/* For how many connections must a drain not wait?  `c` is a listener with a queue, or a single
 * connection (0 or 1). */
unsigned health_given_up(const struct child *child, const struct connection *c);

/* Runs the command of `probe` as a helper of the worker.  check_answered() gets the result, unless
 * the worker is gone by then.  -1 and `err`. */
int health_exec(struct child *child, const struct probe *probe, struct error *err);
/* Describes a probe: "GET /health", "'CMD'", "a connection". */
const char *health_probe_text(char to[96], const struct probe *probe);
/* Why it has failed without an answer. */
const char *health_late_text(char to[64], const struct cluster_settings *s);
