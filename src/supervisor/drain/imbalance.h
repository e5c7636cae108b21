/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_IMBALANCE_H
#define SUPERVISOR_IMBALANCE_H

#include "supervisor/common/part.h"

/*
 * `balance = auto`: workers share a socket unless one of them has most of the load, as happens with
 * servers that wait by EPOLLEXCLUSIVE, because the kernel wakes the same worker again and again.
 * The evidence is the CPU time that each worker has used since it was ready.  The kernel counts
 * that anyway, so no process is woken; nclust reads it for the status, and when a rollout begins.
 * If one has most, that generation and later ones have a socket each, as by `balance = rr`.
 */

/* Decides for that generation, at the start of its rollout. */
void imbalance_decide(struct service *service, unsigned generation);
/* Have workers of that generation a socket each, by that decision? */
bool imbalance_spreads(const struct service *service, unsigned generation);
/* Begins to count the CPU time of a worker that is ready. */
void imbalance_begin(struct child *child);
void imbalance_on_status(struct json_writer *w, const struct service *service);

#endif
