/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEAL_H
#define SUPERVISOR_HEAL_H

#include "supervisor/common/state.h"

/*
 * Some servers call shutdown(2) on their listener when they stop.  The workers
 * share it, so it no longer listens for any of them.  nclust holds it too, sees
 * that, and calls listen(2) again; for a unix socket see renew.h.  What that costs
 * is limited as allowance.h says: beyond that, the listener has to wait.
 *
 * The sockets are in an epoll set of their own that asks for no events:
 * EPOLLHUP is always reported, and a connection does not wake nclust.
 */
void heal_init(struct supervisor *sup);
void heal_fini(struct supervisor *sup);
void heal_watch(struct listener *l);     /* unless it is watched already */
void heal_listening(struct listener *l); /* it does now, and is watched */
void heal_forget(struct listener *l);    /* before its descriptor is closed */
/* Leave it alone for that time, and look at it then. */
void heal_rest(struct listener *l, nsec_t span);
/* Report a harm that was done to it, as `text` says.  A worker may do it again and
 * again: once a minute. */
void heal_tell(struct listener *l, const char *text);
/* The same for another socket of the listener (group.h). */
void heal_watch_also(struct listener *l, int fd);
void heal_forget_also(const struct listener *l, int fd);

#endif
