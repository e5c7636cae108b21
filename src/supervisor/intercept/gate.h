/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GATE_H
#define SUPERVISOR_GATE_H

#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * `spare`: a worker whose cluster has spares waits in its first listen(2), or bind(2)
 * of UDP, until the core says that it is to serve (core/spare.h).
 */

/* Has the worker to wait before it serves? */
bool gate_is_shut(const struct child *child);
/* It waits there now: the core decides, and may release it before this returns. */
void gate_tell(struct child *child);

/* Keep that call of listen(2), for this listener (NULL: of a unix socket, or a bind(2)
 * of UDP), without an answer.  False: it is to be answered, as the worker is to serve, or as no
 * client comes to its socket: then it can be asked before it serves
 * (health/warm.c). */
bool gate_keep(struct child *child, struct listener *l, const struct seccomp_notice *notice);

/* It is held by other means, which the next nclust has to know. */
void intercept_on_release(struct child *child);
/* The stop signal is sent, and then the call that kept it from being heard fails. */
bool intercept_on_stop(struct child *child, int signal);
/* The nclust that has heard its call is gone: nobody can answer it. */
void gate_adopt(const struct child *child);

#endif
