/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REGISTRY_H
#define SUPERVISOR_REGISTRY_H

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

/* ---- kind ---- */

/*
 * The kind of a cluster says who fills its slots.  Usually the core does, with a worker in each
 * slot, and all functions are NULL.  With `accept = yes` a worker serves one connection, and the
 * room accept fills the slots; the core only knows whether the cluster runs.
 */

/* How many workers and slots a cluster has. */
struct service_counts {
	unsigned workers; /* wanted */
	unsigned ready;
	unsigned alive;
	uint32_t slots;
};

struct worker_kind {
	/* One worker for each connection: workers are not drained or checked,
	 * and need not become ready. */
	bool by_connection;

	/* Begin a cluster of so many workers.  -1: no memory. */
	int (*begin)(struct service *service, unsigned workers);
	/* Make room for all slots (service->child_slots).  -1: no memory. */
	int (*reserve)(struct service *service);

	struct service_counts (*count)(const struct service *service);
	void (*view_slot)(const struct service *service, uint32_t slot, struct slot_view *view);
	/* The next slot in turn that has a worker; SLOT_ALL: no slot has one. */
	uint32_t (*next_in_turn)(struct service *service, bool first);

	/* Set how many workers are wanted; `reserve` has made room for them. */
	void (*scale)(struct service *service, const struct scale_step *to);
	/* The cluster is to stop; the core gets its event after this call. */
	void (*stop)(struct service *service, bool at_once);
	/* A worker of an earlier nclust, which was started at `born`, was taken over. */
	void (*adopt)(struct child *child, nsec_t born);
	/* A worker has ended, and its struct child is free; the core does not get the event. */
	void (*ended)(struct service *service, struct event *event);
	/* A worker could not be started: `text` says why; `permanent`: no worker ever can. */
	void (*explain)(struct service *service, const char *text, bool permanent);
};

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

#endif
