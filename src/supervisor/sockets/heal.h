/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEAL_H
#define SUPERVISOR_HEAL_H

#include "supervisor/common/state.h"

/*
 * Some servers call shutdown(2) on their listener when they stop, and so stop it for all workers
 * that share it.  nclust sees EPOLLHUP and calls listen(2) again (a unix socket: renew.h), within
 * an allowance (allowance.h).  The sockets are in an epoll set that asks for no events: EPOLLHUP is
 * always reported, and connections do not wake nclust.
 */
void heal_init(struct supervisor *sup);
void heal_fini(struct supervisor *sup);
void heal_watch(struct listener *l);     /* does nothing if it is watched already */
void heal_listening(struct listener *l); /* it has begun to listen: watch it */
void heal_forget(struct listener *l);    /* before its descriptor is closed */
/* Do not watch the listener for that time; then look at it again. */
void heal_rest(struct listener *l, nsec_t span);
/* Report what a worker has done to the listener: `text` once a minute at most. */
void heal_tell(struct listener *l, const char *text);
/* Watch one more socket of the listener (group.h); stop watching it. */
void heal_watch_also(struct listener *l, int fd);
void heal_forget_also(const struct listener *l, int fd);

#endif
