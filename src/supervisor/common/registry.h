/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REGISTRY_H
#define SUPERVISOR_REGISTRY_H

#include "base/log.h"
#include "supervisor/common/state.h"

/* The clusters and workers that exist: every room finds them here, or visits
 * all.  workers/child.c adds and removes workers. */

/* NULL: no cluster has that name. */
struct service *service_named(const struct supervisor *sup, const char *name);

/* The child of a worker, or NULL. */
struct child *child_find(const struct service *service, uint32_t slot, uint64_t worker);
struct child *child_by_serial(const struct supervisor *sup, uint64_t serial);
struct child *child_by_pid(const struct supervisor *sup, pid_t pid);

/* Walk over the children of one service, or of all.  Children may come and go
 * meanwhile. */
struct child_walk {
	const struct supervisor *sup;
	const struct service *only; /* NULL: all of `sup` */
	size_t service;             /* where the next child is looked for … */
	size_t at;                  /* … and its place there */
};
struct child_walk children_of(const struct service *service);
struct child_walk children_of_all(const struct supervisor *sup);
struct child *child_next(struct child_walk *walk); /* NULL: there is no more */
#define for_each_child(child, walk) \
	for (struct child_walk child##_walk = (walk); \
		((child) = child_next(&child##_walk)) != NULL;)

/* The table behind child_by_pid().  Room for one more; -1: no memory. */
int pids_grow(struct pid_table *t);
void pids_add(struct pid_table *t, struct child *child);
void pids_remove(struct pid_table *t, struct child *child);

/* Is no other worker in its lane (drain/steer.h)? */
bool child_has_own_lane(const struct child *child);

/* Have all its workers ended with success, by themselves, and that is all there was to do? */
bool service_is_done(const struct service *service);

/* A line about the worker in a slot, "web.0: ...". */
void log_slot(const struct service *service, uint32_t slot, enum log_level level,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
#define log_worker(child, ...) log_slot((child)->service, (child)->slot, __VA_ARGS__)

#endif
