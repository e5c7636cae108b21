/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_EVIDENCE_H
#define SUPERVISOR_EVIDENCE_H

#include "supervisor/common/part.h"

/*
 * `balance = auto`: workers share a socket unless one of them has most of the load,
 * as happens with servers that wait by EPOLLEXCLUSIVE, because the kernel wakes the
 * same one again and again.  The evidence is the CPU time that each has used since it
 * was ready.  The kernel counts that anyway, so nothing is woken for it; it is
 * looked at when somebody asks for the status, and when a rollout begins: the workers
 * of that have a socket each (`balance = least`), and so have those after them.
 */

/* A rollout to that generation begins. */
void evidence_decide(struct service *service, unsigned generation);
/* Was it decided that workers of that generation have a socket each? */
bool evidence_spreads(const struct service *service, unsigned generation);
/* The worker is ready: count from now on. */
void evidence_begin(struct child *child);
void evidence_on_status(struct json_writer *w, const struct service *service);

#endif
