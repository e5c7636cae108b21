/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ASK_H
#define SUPERVISOR_ASK_H

#include "supervisor/control/clients.h"
#include "supervisor/health/reach.h"

/*
 * What `ask` answers: connections to workers (health/reach.h), each as an event with
 * a descriptor.  The client itself sends its request and reads the answer, so that
 * nclust reads nothing of what a worker says.  The web process gets those of all
 * ready workers of a cluster with `metrics`; others ask for the one of a slot.
 */
/* Does it name what can be asked, a slot or a cluster?  0, or -1 and `err`. */
int ask_check(
	const struct client *c, const struct service *service, uint32_t slot, struct error *err);
int ask_begin(struct client *c, struct service *service, uint32_t slot, struct error *err);
/* Answer now, with what has been reached; nclust is about to be replaced. */
void ask_settle(struct client *c);
/* The client goes. */
void ask_forget(struct client *c);

#endif
