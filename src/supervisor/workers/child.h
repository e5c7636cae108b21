/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"

extern const struct part workers_part;

/* A child is the process of a worker: its pidfd, pipes, notify socket and watchers.
 * children_spawn() makes it.  It is freed when nothing is left of the process, before the core gets
 * the event, because the core may spawn a successor at once. */

/* Start at most SPAWN_MANY workers that the core asked for.  answers[] become events for the core:
 * SPAWNED or SPAWN_FAILED. */
void children_spawn(struct service *service, const struct action *const *actions,
	struct event *answers, unsigned count);

/* accept = yes: start a process in the slot of `place`, for its connection.  NULL: it could not be
 * started, *why is set, and the kind's `explain` was called. */
struct worker_place;
struct child *child_serve(
	struct service *service, const struct worker_place *place, struct ending *why);

/* Fill a spawn plan with the user, directory and limits of a recipe's workers; the caller adds
 * command and descriptors. */
void child_plan(struct supervisor *sup, struct spawn_plan *plan, const struct recipe *r);

/* The settings of the worker's generation: those in force, or those that it was started with.
 * NULL: the core has dropped them, because the worker is being replaced. */
const struct cluster_settings *child_settings(const struct child *child);
/* Make the child of a living worker of an earlier nclust; takes over the pidfd.  NULL: out of
 * memory, or the slot is full. */
struct child *child_adopt(
	struct service *service, uint32_t slot, uint64_t worker, pid_t pid, int pidfd);

/* Drain the worker within that time, or stop it by this signal, in the way of the first room that
 * takes it (part.h). */
void child_drain(struct child *child, nsec_t span);
void child_stop(struct child *child, int signal);
void child_signal(struct child *child, int signal);     /* the process alone */
void child_kill_group(struct child *child, int signal); /* its process group */
/* Signal the worker's process group, or the process alone if it has no group of its own, without a
 * log line.  -1 and errno. */
int child_signal_group(const struct child *child, int signal);

/* Have all processes ended that had the worker's seccomp filter?  Then its notify fd has
 * POLLHUP. */
bool child_has_left_trap(const struct child *child);

/* Was the worker asked to stop? */
bool child_is_stopping(const struct child *child);

/* The worker's pidfd is readable. */
void child_hear_exit(struct child *child);
/* The main process of the worker has ended: reap it, and look for leftovers. */
void child_main_exited(struct child *child);
/* No leftovers of the worker live any more: tell the core. */
void child_all_exited(struct child *child);

/* For an upgrade (carried.h): make an empty child; put it into its slot when it is filled (-1: the
 * slot is full, or its pid is another child's); watch it again. */
struct child *child_new(struct service *service);
int child_settle(struct child *child);
void child_resume(struct child *child);

void children_free(struct supervisor *sup); /* no worker may be alive */

/* For renew_init(): replace workers that have the former socket of a listener. */
void child_on_renewed(struct ev_loop *loop, ev_timer *timer, int revents);

#endif
