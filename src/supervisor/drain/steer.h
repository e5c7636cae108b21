/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_H
#define SUPERVISOR_STEER_H

#include "supervisor/common/state.h"

/*
 * Keeping new connections away from workers that are to be drained and that cannot
 * be taken off their socket from outside (drain.h).  All other workers, old and new,
 * share one socket.
 *
 * Each TCP listener of such a worker gets a second socket at its address, for the new
 * generation of a rollout or for the successor of that one worker.  Workers that
 * share sockets are in one lane.  Each socket gets new connections in proportion to
 * the ready workers that have it, so that no client waits for a generation that is
 * only half there.  A lane with a worker that does not become quiet in time gets none
 * until that worker is gone; the last workers of a lane get none at all.  An old
 * socket is closed after its last worker, when its queue has been empty for a while.
 *
 * Unix and UDP sockets, those that came from outside, and those of several
 * clusters stay shared by all.
 */
void steer_on_report(struct service *service, const struct report *r);
void steer_on_drop(struct service *service);

/* The lane of a worker of that generation that is about to be started there. */
unsigned steer_lane(
	struct service *service, unsigned generation, uint32_t slot);
void steer_joined(struct child *child); /* it was started */
void steer_left(struct child *child);   /* it is gone */

/* One that had this lane has ended, and was perhaps woken for a connection that it
 * never took; the kernel wakes nobody else for that one. */
void steer_wake_others(const struct service *service, unsigned lane);

/* For who stops workers.  Do new connections go elsewhere?  May it end: is nothing
 * left in a queue that it alone is there for? */
bool steer_is_away(const struct child *child);
/* See to that now, where its lane has sockets of its own. */
void steer_press(struct child *child);
/* Are there others that take new connections from the very socket? */
bool steer_has_mates(const struct child *child, const struct listener *l);
bool steer_may_stop(const struct child *child);

/* Its listeners and workers have been taken over, with the lanes that they had. */
void steer_on_adopted(struct service *service);

/* Has a listener of it several sockets? */
bool steer_is_busy(const struct service *service);
/* An upgrade has to wait for that, but not where it stays so until another rollout:
 * one has failed midway. */
bool steer_on_rolls(const struct service *service);

#endif
