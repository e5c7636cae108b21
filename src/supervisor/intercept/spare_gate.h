/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SPARE_GATE_H
#define SUPERVISOR_SPARE_GATE_H

#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * `spare`: a worker whose cluster has spares waits in its first listen(2), or bind(2) of UDP, until
 * the core says that it is to serve (core/spare.h).
 */

/* Must the worker wait before it serves? */
bool spare_gate_is_shut(const struct child *child);
/* The worker waits at its gate: the core decides, and may release it before this returns. */
void spare_gate_report(struct child *child);

/* Holds that call of listen(2), for this listener (NULL: a unix socket's, or a bind(2) of UDP),
 * without an answer.  False: answer the call, because the worker is to serve, or because no client
 * comes to its socket, so that it can be checked before it serves (health/warm_spare.c). */
bool spare_gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice);

void intercept_on_release(struct child *child);
/* Sends the stop signal; then the held calls fail, so that the worker handles the signal. */
bool intercept_on_stop(struct child *child, int signal, nsec_t span);
/* Kills a worker whose call was held by an nclust that is gone: nobody can answer the call. */
void spare_gate_adopt(const struct child *child);

#endif
