/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PATHS_H
#define SUPERVISOR_PATHS_H

#include "supervisor/common/carried.h"

/*
 * Unix paths that programs bind by themselves.  A server removes its path as it
 * ends, though the file there is its successor's by then; and one that fails has
 * taken it from the others.  So nclust gives the file of each worker a spare name
 * (socket_unix.h), and puts back what is missing.
 */

/* The worker listens there. */
void paths_keep(struct child *child, const char *path);
/* Is a path missing, where a worker listens that nobody has asked to stop?  The
 * youngest one gets it.  And: look until this one has ended, which is asked to. */
void paths_look(struct service *service);
void paths_watch(const struct child *child);
/* Do all of its paths lead to others by now, which have bound them anew? */
bool paths_are_others(const struct child *child);
/* It has ended: its files go. */
void paths_drop(struct child *child);

/* How one goes through an upgrade. */
extern const struct carried carried_path;

#endif
