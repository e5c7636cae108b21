/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PATHS_H
#define SUPERVISOR_PATHS_H

#include "supervisor/common/carried.h"

/* Unix paths that programs bind by themselves.  A server that ends removes its path, although the
 * file there may be its successor's.  So nclust gives each worker's file a second hard link
 * (socket_unix.h), and puts back a path that is missing. */

/* The worker listens on that path: give its file a second name. */
void paths_keep(struct child *child, const char *path);
/* If a path is missing, put back that of the youngest worker that is not stopping.  And: do so
 * again and again until `child`, which was asked to stop, has ended. */
void paths_look(struct service *service);
void paths_watch(const struct child *child);
/* A thread of the worker binds that path now. */
void paths_bind(const struct child *child, pid_t tid, const char *path);
/* Do all paths of the worker lead to sockets of other processes by now? */
bool paths_are_others(const struct child *child);
/* The worker has ended: remove its files. */
void paths_drop(struct child *child);

/* How a path goes through an upgrade. */
extern const struct carried carried_path;

#endif
