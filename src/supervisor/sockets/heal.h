/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/state.h"

/*
 * Some servers call shutdown(2) on their listener when they stop, and so stop it for all workers
 * that share it.  nclust sees EPOLLHUP and calls listen(2) again (a unix socket: see below).  The
 * sockets are in the epoll set of workers, and ask for no events: EPOLLHUP is always reported, and
 * connections do not wake nclust.
 */
void heal_init(struct supervisor *sup);
void heal_watch(struct listener *l);     /* does nothing if it is watched already */
void heal_listening(struct listener *l); /* it has begun to: watch it, tell the shares */
void heal_forget(struct listener *l);    /* before its descriptor is closed */
/* Report what a worker has done to the listener: `text` once a minute at most. */
void heal_tell(struct listener *l, const char *text);
/* Watch one more socket of the listener; stop watching it. */
void heal_watch_also(struct listener *l, int fd);
void heal_forget_also(const struct listener *l, int fd);

/* ---- renew ---- */

/*
 * A worker can break a listener for all workers that share it.  If it removes a unix socket's file,
 * nclust gives the file its name again, from a spare hard link.  If it shuts the socket down, which
 * no unix socket survives, nclust binds a new one and replaces the workers that have the former
 * one.  If it connects a datagram socket, which then hears one client alone, nclust undoes that.
 * Of the file the kernel reports that (inotify(7)), of all else little, so nclust looks before a
 * worker is started, after a worker has ended, and at a reload.
 */
/* `on_renewed` is called when workers may have a listener's former socket. */
void renew_init(struct supervisor *sup,
	void (*on_renewed)(struct ev_loop *loop, ev_timer *timer, int revents));
/* `look` is called for each cluster when names of such files have changed. */
void paths_init(
	struct supervisor *sup, void (*look)(struct ev_loop *loop, ev_timer *t, int revents));
void paths_watch(struct supervisor *sup, const char *path, const struct socket_file *file);
/* Look at all listeners of the service, and repair them. */
void renew_look(struct service *service);
void renew_look_at(struct listener *l); /* the same for a single listener */
/* Does the worker have the former socket of a listener? */
bool renew_has_former(const struct child *child);
/* A worker is ready: if it has a former socket, replace it soon. */
void renew_ready(const struct child *child);
