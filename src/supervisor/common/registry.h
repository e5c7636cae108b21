/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/log.h"
#include "supervisor/common/state.h"

/* Finds clusters and workers by name, slot, pid or serial, and walks over all of them.
 * workers/child.c adds and removes workers. */

/* NULL: no cluster has that name. */
struct service *service_named(const struct supervisor *sup, const char *name);

/* The child of that worker in that slot, or NULL. */
struct child *child_find(const struct service *service, uint32_t slot, uint64_t worker);
struct child *child_by_serial(const struct supervisor *sup, uint64_t serial);
struct child *child_by_pid(const struct supervisor *sup, pid_t pid);

/* Walk over the children of one service, or of all services.  Children may come and go during the
 * walk. */
struct child_walk {
	const struct supervisor *sup;
	const struct service *only; /* NULL: all of `sup` */
	size_t service;             /* the service where the walk goes on */
	size_t at;                  /* and its next place: two for each slot */
};
struct child_walk children_of(const struct service *service);
struct child_walk children_of_all(const struct supervisor *sup);
struct child *child_next(struct child_walk *walk); /* NULL: the walk is over */
#define for_each_child(child, walk) \
	for (struct child_walk child##_walk = (walk); \
		((child) = child_next(&child##_walk)) != NULL;)

/* What `next` returns first of a walk, as the pointer `it`, that the condition is true of; or
 * NULL. */
#define walk_find(it, next, walk, condition) \
	__extension__({ \
		__typeof__(walk) walk_ = (walk); \
		__typeof__(next(&walk_)) it = next(&walk_); \
\
		while (it != NULL && !(condition)) \
			it = next(&walk_); \
		it; \
	})

/* The table of child_by_pid(). */
void pids_add(struct supervisor *sup, struct child *child);
void pids_remove(struct supervisor *sup, struct child *child);

/* Have all workers of the cluster ended by themselves, with success, and for good? */
bool service_is_done(const struct service *service);

/* Set or clear a flag of the worker in the state file, for the next nclust if this one is killed
 * now. */
void child_flag(const struct child *child, uint32_t flag, bool on);

/* Log a line about a slot: "web.0: ...". */
void log_slot(const struct service *service, uint32_t slot, enum log_level level,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
#define log_worker(child, ...) log_slot((child)->service, (child)->slot, __VA_ARGS__)

/* ---- childset ---- */

/* -1 and `err`. */
int childset_open(struct supervisor *sup, struct error *err);
void childset_close(struct supervisor *sup);

/* Watch `fd`: when it may be readable, childset.hear[which] is called.  -1 and errno. */
int childset_add(struct child *child, enum child_fd which, int fd);
/* Stop watching `fd`.  To close it is not enough, because other processes may have it, too. */
void childset_remove(const struct child *child, int fd);

/* The recipe (workers/recipe.h) of a generation, or NULL; never makes one. */
struct recipe *recipe_of(const struct service *service, unsigned generation);
