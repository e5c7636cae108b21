/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void startwait_on_status(struct json_writer *w, const struct child *child);

void serves_hear(struct child *child);

/* ---- spare gate ---- */

/*
 * `spare`: a worker whose cluster has spares waits in its first listen(2), or bind(2) of UDP, until
 * the core says that it is to serve (core/internal.h).
 */

/* Must the worker wait before it serves? */
bool spare_gate_is_shut(const struct child *child);
/* The worker waits at its gate: the core decides, and may release it before this returns. */
void spare_gate_report(struct child *child);

/* Holds that call of listen(2), for this listener (NULL: a unix socket's, or a bind(2) of UDP),
 * without an answer.  False: answer the call, because the worker is to serve, or because no client
 * comes to its socket, so that it can be checked before it serves (health/check.c). */
bool spare_gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice);

void intercept_on_release(struct child *child);
/* Sends the stop signal; then the held calls fail, so that the worker handles the signal. */
bool intercept_on_stop(struct child *child, int signal);
/* The calls that are held go through an upgrade. */
extern const struct carried carried_gate;

/*
 * A worker that has called listen(2), or said READY=1, is held until a process of it waits for
 * clients: it may be a master whose processes have not loaded, or end as they start.  No call tells
 * that, so nclust looks, first 1 ms later, by a timer of the worker's own.
 */
/* Holds the worker, or looks more often again; without a descriptor it counts. */
void serves_hold(struct child *child);
void serves_drop(struct child *child);
/* Does the worker wait for clients (in doubt: is it held, and counts)?  `notes`: notes the ports where
 * it does. */
bool serves_look(struct child *child, bool notes);
/* Does the worker use next to no CPU?  To be asked each second. */
bool serves_is_idle(struct child *child);
/* For so long it has not been seen then to read, need more memory, start a process or await one. */
#define LOAD_PATIENCE (10 * SECOND) /* one that has no port then, and is idle, needs none */
bool serves_loads_nothing(const struct child *child, nsec_t patience);

/* ---- startwait ---- */

/*
 * Finds out why a worker is not ready after some time.  It may wait for a lock that another copy
 * has, if only one copy can run at a time; or it has not opened its port yet, for which nclust
 * waits (intercept.h).
 */

void startwait_born(struct child *child);
/* Looks at the worker if that is due; sets the timer to the next look. */
void startwait_look(struct child *child);
