/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RENEW_H
#define SUPERVISOR_RENEW_H

#include "supervisor/common/state.h"

/*
 * What a worker does to a socket, it does to all that have it, and some of that
 * stays.  A unix socket that was shut down never listens again, and one whose file
 * was removed cannot be reached.  nclust keeps a spare name of the file, and gives
 * it its own name again; where that does not help, it binds another socket there,
 * and replaces the workers that have the former one.  A datagram socket that was
 * connected hears only that one client; nclust undoes that.
 *
 * Nobody says so in time, so nclust looks when a worker is about to be started,
 * when one has ended, and at a reload.
 */
/* `on_renewed` is called when workers may have a former socket. */
void renew_init(struct supervisor *sup,
	void (*on_renewed)(struct ev_loop *loop, ev_timer *timer, int revents));
void renew_fini(struct supervisor *sup);
/* Look at all listeners of the service, and mend them. */
void renew_look(struct service *service);
void renew_look_at(struct listener *l); /* the same for one of them */
/* Has a listener of the worker got another socket, and it has the former one? */
bool renew_has_former(const struct child *child);
/* A worker is ready: look at it for that. */
void renew_ready(const struct child *child);
/* Is it a unix socket that nclust has bound, in use? */
bool renew_can(const struct listener *l);

#endif
