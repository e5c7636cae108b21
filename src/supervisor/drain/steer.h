/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_H
#define SUPERVISOR_STEER_H

#include "supervisor/common/part.h"

/*
 * Steering keeps new connections away from workers that are to be drained and
 * that cannot be taken off their socket from outside (drain.h).  All other
 * workers, old and new, share one socket.
 *
 * Each TCP listener of such a worker gets a second socket at its address, for
 * the new generation of a rollout or for the successor of that one worker.
 * Workers that share sockets are in one lane.  Each socket gets new connections
 * in proportion to its ready workers, so that no client waits for a generation
 * that is only half there.  A lane gets none while one of its workers does not
 * become quiet; the last workers of a lane get none at all.  An old socket is
 * closed after its last worker, once its queue has been empty for a while.
 *
 * With `balance = rr`, `least` or `random` each slot has a lane from the start, so
 * that the kernel chooses a worker for each new connection (steer_seats.c).
 *
 * With `surge = all` the new generation has a second socket in any case, and the
 * old one alone gets new connections until all of the new one is there, which then
 * alone gets them: nobody who has seen the new release is sent back.
 *
 * Unix sockets, sockets that nclust was given, and those of several clusters stay
 * shared by all, and those of UDP unless each slot has a lane.
 */
void steer_on_report(struct service *service, const struct report *r);
void steer_on_drop(struct service *service);

/* The lane for a worker of that generation that will start in that slot. */
unsigned steer_lane(struct service *service, unsigned generation, uint32_t slot);
/* The worker was started; `birth` may be NULL. */
void steer_on_born(struct child *child, struct birth *birth);
void steer_left(struct child *child); /* the worker is gone */
/* The worker is about to get this listener; or has it (`own`). */
void steer_on_provide(struct child *child, struct listener *l, bool own);
/* It listens at an address. */
void steer_on_listens(struct child *child);
void steer_on_aside(struct child *child, struct listener *l);

/* Wake other workers that share a socket of this lane.  Called when a worker of
 * the lane has ended or was withdrawn, because the kernel may have woken that
 * one alone for a connection which it never took. */
void steer_wake_others(const struct service *service, unsigned lane);

/* For the drain: do this worker's listeners get no new connections? */
bool steer_is_away(const struct child *child);
/* Stop giving new connections to lanes with draining workers, at once. */
void steer_press(struct child *child);
/* It may say goodbye to its clients now: they come back at once, and in a rollout not to
 * one of the old workers, so that nobody is told so twice. */
void steer_part(struct child *child);
/* Does another worker take new connections from the same socket? */
bool steer_has_mates(const struct child *child, const struct listener *l);
/* False: a queue is not empty that only this worker can take from. */
bool steer_may_stop(const struct child *child);

/* The service has taken over listeners and workers, with their lanes. */
void steer_on_adopted(struct service *service);

/* Settings that need no rollout are in force. */
void steer_on_settings(struct service *service);
/* What its sockets alone got. */
void steer_on_given(const struct child *child, struct dealt *to);

/* Has a listener of the service several sockets? */
bool steer_is_busy(const struct service *service);
/* Must an upgrade wait?  Not if a rollout failed midway: then there are several
 * sockets until the next rollout. */
bool steer_on_rolls(const struct service *service);

#endif
