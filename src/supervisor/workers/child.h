/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"

extern const struct part workers_part;

/*
 * A child is the system's half of a worker: its pidfd, pipes, notify socket
 * and watchers.  Born by child_spawn(), gone when its process is reaped; the
 * core hears of its end after it is gone, as it may spawn at once.
 */

/* Start the worker that the core asked for; *answer is the event for the
 * core: SPAWNED or SPAWN_FAILED. */
void child_spawn(struct service *service, const struct action *action,
	struct event *answer);

/* accept: start a process for the connection of that place, which has its slot;
 * its recipe and serial are found here.  NULL: there is none, as `why` says, and
 * the service's kind was told. */
struct worker_place;
struct child *child_serve(struct service *service,
	const struct worker_place *place, struct ending *why);

/* As whom, where and within which limits the workers of a recipe run; what is
 * run, and its descriptors, are left open. */
void child_plan(struct supervisor *sup, struct spawn_plan *plan,
	const struct recipe *r);

/* The settings that a worker is to be held to: those in force, if it is of that
 * generation, else those that it was started by.  NULL: nobody's any more, it
 * is on its way out. */
const struct cluster_settings *child_settings(const struct child *child);
/* One that lives already, of an earlier nclust; its pidfd is taken over.  NULL:
 * out of memory, or no place. */
struct child *child_adopt(struct service *service, uint32_t slot,
	uint64_t worker, pid_t pid, int pidfd);

/* Its stop signal, which a room may send in a way of its own (`stop` in part.h). */
void child_stop(struct child *child, int signal);
void child_signal(struct child *child, int signal);     /* the process */
void child_kill_group(struct child *child, int signal); /* its group */
/* The same, and nothing is noted or said; where its group cannot be had, itself.
 * -1 and errno. */
int child_signal_group(const struct child *child, int signal);

/* It has ended: end its group, reap it, tell the core. */
void child_ended(struct child *child);

/* One that was carried (carried.h): an empty one, and, once its members are there,
 * its place in its service.  -1: it has none.  Nothing is watched yet. */
struct child *child_carried(struct service *service);
int child_settle(struct service *service, struct child *child);
void child_resume(struct child *child);

void children_free(struct supervisor *sup); /* none may be alive */

#endif
