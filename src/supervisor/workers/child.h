/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/registry.h"

void workers_on_go_on(struct supervisor *sup);
void workers_on_shutdown(struct supervisor *sup);
void workers_on_renew(struct supervisor *sup);

/* A child is the process of a worker: its pidfd, pipes, notify socket and watchers.
 * children_spawn() makes it.  It is freed when nothing is left of the process, before the core gets
 * the event, because the core may spawn a successor at once. */

/* Is what workers read /dev/null, which ends at once? */
bool children_read_null(const struct supervisor *sup);

/* Start workers that the core asked for.  answers[] become events for the core:
 * SPAWNED or SPAWN_FAILED. */
void children_spawn(struct service *service, const struct action *const *actions,
	struct event *answers, unsigned count);

/* accept = yes: start a process in the slot of `place`, for its connection.  NULL: it could not be
 * started, *why is set, and the failure was explained. */
struct worker_place;
struct child *child_serve(
	struct service *service, const struct worker_place *place, struct ending *why);

/* The settings of the worker's generation: those in force, or those that it was started with.
 * NULL: the core has dropped them, because the worker is being replaced. */
const struct cluster_settings *child_settings(const struct child *child);
/* Make the child of a living worker of an earlier nclust; takes over the pidfd.  NULL: out of
 * memory, or the slot is full. */
struct child *child_adopt(
	struct service *service, uint32_t slot, uint64_t worker, pid_t pid, int pidfd);

/* Drain the worker within that time, or stop it by this signal, in the way of the first room that
 * takes it (moment_stop()). */
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
/* Has the main process of the worker ended?  Then reap it, and look for leftovers.  True: all of the
 * worker has ended, and `child` is free. */
bool child_main_exited(struct child *child);
/* No leftovers of the worker live any more: tell the core. */
void child_all_exited(struct child *child);

/* For an upgrade (carried.h): make an empty child; put it into its slot when it is filled (-1: the
 * slot is full, or its pid is another child's); watch it again. */
struct child *child_new(struct service *service);
int child_settle(struct child *child);
void child_resume(struct child *child);

/* For renew_init(): replace workers that have the former socket of a listener. */
void child_on_renewed(struct ev_loop *loop, ev_timer *timer, int revents);
