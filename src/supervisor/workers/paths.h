/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/vfork.h"
#include "supervisor/common/carried.h"

/* Unix paths that programs bind by themselves.  A server that ends removes its path, although the
 * file there may be its successor's.  So nclust gives each worker's file a second hard link
 * (socket_unix.h), and puts back a path that is missing. */

/* A thread of the worker listens on that path: give its file (ino 0: unknown) a second name. */
void paths_keep(struct child *child, const char *path, pid_t tid, const struct socket_file *file);
/* The ids and groups that this thread of the worker has now, because it may have given up some of
 * those with which it was started, so that nclust can do at this path what it can do, and no more.
 * -1: nclust cannot: it has another root or mount namespace, or is a root with fewer rights. */
int paths_user(const struct child *child, pid_t tid, const char *path, struct vfork_user *user);
void paths_resume(struct child *child);
/* If a path is missing, put back that of the youngest worker that is not stopping.  And: look at all
 * paths and listeners, because the name of one has changed. */
void paths_look(struct service *service);
void paths_on_changed(struct ev_loop *loop, ev_timer *timer, int revents);
/* A thread of the worker binds that address, perhaps a path, now. */
void paths_bind(const struct child *child, pid_t tid, const void *address, size_t size);
/* Do all paths of the worker lead to sockets of other processes by now? */
bool paths_are_others(const struct child *child);
/* The worker has ended: remove its files. */
void paths_drop(struct child *child);

/* How a path goes through an upgrade. */
extern const struct carried carried_path;
