/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RENEW_H
#define SUPERVISOR_RENEW_H

#include "supervisor/common/state.h"

/*
 * A worker can break a listener for all workers that share it.  If it removes a unix socket's file,
 * nclust gives the file its name again, from a spare hard link.  If it shuts the socket down, which
 * no unix socket survives, nclust binds a new one and replaces the workers that have the former
 * one.  If it connects a datagram socket, which then hears one client alone, nclust undoes that.
 * The kernel reports little of this, so nclust looks before a worker is started, after a worker has
 * ended, and at a reload.
 */
/* `on_renewed` is called when workers may have a listener's former socket. */
void renew_init(struct supervisor *sup,
	void (*on_renewed)(struct ev_loop *loop, ev_timer *timer, int revents));
void renew_fini(struct supervisor *sup);
/* Look at all listeners of the service, and repair them. */
void renew_look(struct service *service);
void renew_look_at(struct listener *l); /* the same for a single listener */
/* Does the worker have the former socket of a listener? */
bool renew_has_former(const struct child *child);
/* A worker is ready: if it has a former socket, replace it soon. */
void renew_ready(const struct child *child);
/* Is the listener a unix socket that nclust has bound, and in use? */
bool renew_can(const struct listener *l);

#endif
