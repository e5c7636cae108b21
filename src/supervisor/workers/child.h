/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"

extern const struct part workers_part;

/*
 * A child is the system's half of a worker: its pidfd, pipes, notify socket and
 * watchers.  children_spawn() makes it; it is freed when its process is reaped.
 * The core gets the event after that, because it may spawn a successor at once.
 */

/* Start the workers that the core asked for, SPAWN_MANY at most; answers[] are the
 * events for the core: SPAWNED or SPAWN_FAILED. */
void children_spawn(struct service *service, const struct action *const *actions,
	struct event *answers, unsigned count);

/* accept: start a process in the slot of `place`, for its connection; fills in
 * recipe and serial.  NULL: it could not be started; `why` says more, and the
 * kind's `explain` was called. */
struct worker_place;
struct child *child_serve(
	struct service *service, const struct worker_place *place, struct ending *why);

/* Fill a spawn plan with the user, directory and limits of a recipe's workers;
 * the caller adds the command and descriptors. */
void child_plan(struct supervisor *sup, struct spawn_plan *plan, const struct recipe *r);

/* The settings that apply to a worker: those in force, if it is of that
 * generation, else those that it was started with.  NULL: they are gone,
 * because the worker is being replaced. */
const struct cluster_settings *child_settings(const struct child *child);
/* The child of a living worker of an earlier nclust; takes over the pidfd.
 * NULL: out of memory, or the slot is full. */
struct child *child_adopt(
	struct service *service, uint32_t slot, uint64_t worker, pid_t pid, int pidfd);

/* Stop the worker by this signal, or as a room does it (`stop` in part.h). */
void child_stop(struct child *child, int signal);
void child_signal(struct child *child, int signal);     /* the process */
void child_kill_group(struct child *child, int signal); /* its group */
/* Signal the group, or the process if it has none of its own, without a record
 * or a log line.  -1 and errno. */
int child_signal_group(const struct child *child, int signal);

/* Is nobody under the filter of its trap any more?  Nobody leaves it, and the kernel
 * hangs up then. */
bool child_has_left_trap(const struct child *child);

/* Was it asked to stop? */
bool child_is_stopping(const struct child *child);

/* Its main process has ended: reap it, and see what it has left. */
void child_ended(struct child *child);
/* Nothing is left of it either: tell the core. */
void child_over(struct child *child);

/* For an upgrade (carried.h): make an empty child; once it is filled, put it
 * into its slot (-1: there is none); watch it again. */
struct child *child_new(struct service *service);
int child_settle(struct child *child);
void child_resume(struct child *child);

void children_free(struct supervisor *sup); /* none may be alive */

/* For renew_init(): replace those that have the former socket of a listener. */
void child_on_renewed(struct ev_loop *loop, ev_timer *timer, int revents);

#endif
