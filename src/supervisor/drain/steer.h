/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_H
#define SUPERVISOR_STEER_H

#include "supervisor/common/part.h"

/*
 * Keeps new connections away from workers that are to be drained and that nclust cannot take off
 * their socket (drain.h).  All other workers, old and new, share one socket.
 *
 * Each TCP listener of such a worker gets a second socket at its address, for the new generation of
 * a rollout or for the successor of that one worker.  Workers that share sockets are in one lane.
 * Each socket gets new connections in proportion to its ready workers, so that no client waits for
 * a generation that is only half there.  A lane gets none while one of its workers does not become
 * quiet; the last workers of a lane get none at all.  An old socket is closed after its last
 * worker, once its queue has been empty for a while.
 *
 * With `balance = rr` or `random` each slot has a lane from the start, so that the kernel chooses a
 * worker for each new connection (steer_seats.c).
 *
 * With `surge = all` the new generation has a second socket in any case.  The old socket alone gets
 * new connections until the new generation is complete, which then alone gets them: no client who
 * has seen the new release is sent back.
 *
 * All workers share unix sockets, sockets that nclust was given, and sockets of several clusters;
 * UDP sockets, too, unless each slot has a lane.
 */
void steer_on_report(struct service *service, const struct report *r);
void steer_on_drop(struct service *service);

/* Returns the lane for a worker of that generation that will start in that slot. */
unsigned steer_lane(struct service *service, unsigned generation, uint32_t slot);
/* Counts a worker that was started; `birth` may be NULL. */
void steer_on_born(struct child *child, struct birth *birth);
void steer_left(struct child *child); /* counts out a worker that is gone */
void steer_on_uses(struct child *child, struct listener *l, enum listener_use use);

/* Wakes other workers that share a socket of this lane.  Called when a worker of the lane has ended
 * or was withdrawn, because the kernel may have woken that worker alone for a connection. */
void steer_wake_others(const struct service *service, unsigned lane);

/* Do the worker's listeners get no new connections?  The drain asks. */
bool steer_is_away(const struct child *child);
/* Stops giving new connections to lanes with draining workers, at once. */
void steer_mute(struct child *child);
/* Called when a worker may say goodbye to its clients: they connect again at once, and must not
 * reach an old worker in a rollout, which would send them away once more. */
void steer_goodbye(struct child *child);
/* Does another worker take new connections from the same socket? */
bool steer_has_peers(const struct child *child, const struct listener *l);
/* False: a queue that only this worker can take from is not empty. */
bool steer_may_stop(const struct child *child);

/* The service has taken over listeners and workers, with their lanes. */
void steer_on_adopted(struct service *service);

/* Settings that need no rollout are in force. */
void steer_on_reloaded(struct service *service);
/* Adds the connections that the worker's own sockets got. */
void steer_on_given(const struct child *child, struct dealt *to);

/* Has a listener of the service several sockets? */
bool steer_is_busy(const struct service *service);
/* Must an upgrade wait?  Not for several sockets that a rollout has left that failed midway. */
bool steer_is_rolling(const struct service *service);

#endif
