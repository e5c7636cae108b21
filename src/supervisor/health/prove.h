/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PROVE_H
#define SUPERVISOR_PROVE_H

#include "supervisor/common/state.h"

/* `ready = tcp`, `http:/path` and `exec:CMD`: each worker is probed from its
 * start until a probe succeeds, often at first and every second in the end. */

/* A worker was started: probe it, if its settings ask for that. */
void prove_on_birth(struct child *child);
/* After an upgrade: the worker's probe command still runs; await its result. */
void prove_carried(struct child *child);
/* Settings have changed: start to probe, if a worker needs it. */
void prove_begin(struct service *service);
/* The worker is being stopped: do not probe it any more. */
void prove_let_go(struct service *service, uint32_t slot, uint64_t worker);
void prove_free(struct service *service);

#endif
