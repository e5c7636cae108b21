/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEAL_H
#define SUPERVISOR_HEAL_H

#include "supervisor/common/state.h"

/*
 * A shared socket is shared in all: when one worker calls shutdown(2) on it,
 * as some servers do when they stop, it listens for nobody any more.  nclust
 * holds it too, sees that, and calls listen(2) again.  TCP only.
 *
 * The sockets are in an epoll set of their own, with no events asked for:
 * EPOLLHUP comes always, and a connection does not wake us.
 */
void heal_init(struct supervisor *sup);
void heal_fini(struct supervisor *sup);
void heal_watch(struct supervisor *sup, struct listener *l);
void heal_forget(struct listener *l); /* before its descriptor is closed */
/* Another socket of it (steer.h). */
void heal_watch_also(const struct listener *l, int fd);
void heal_forget_also(const struct listener *l, int fd);

#endif
