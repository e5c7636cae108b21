/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ASK_H
#define SUPERVISOR_ASK_H

#include "supervisor/control/clients.h"
#include "supervisor/health/reach.h"

/*
 * The answer of `ask`: connections to workers (health/reach.h), each as an event with a
 * descriptor.  The client itself sends its request to the worker and reads the answer, so that
 * nclust reads nothing that a worker sends.  The web process gets connections to all ready
 * workers of a cluster with `metrics`; other clients ask for a connection to the worker of one
 * slot.
 */
/* Does the request name a slot or a cluster that can be asked?  0, or -1 and `err`. */
int ask_check(
	const struct client *c, const struct service *service, uint32_t slot, struct error *err);
int ask_begin(struct client *c, struct service *service, uint32_t slot, struct error *err);
/* Answer now, with the workers that were reached; nclust is about to be replaced. */
void ask_settle(struct client *c);
/* The client is about to be freed. */
void ask_forget(struct client *c);

#endif
