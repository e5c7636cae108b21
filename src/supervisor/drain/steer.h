/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * Keeps new connections away from workers that are to be drained and that nclust cannot take off
 * their socket.  All other workers, old and new, share one socket.
 *
 * Each TCP listener of such a worker gets a second socket at its address, for the new generation of
 * a rollout or for the successor of that one worker.  Which socket a worker has is said by its lane
 * (sockets/group.h); who else has it is counted at each look.  Each socket gets new connections in
 * proportion to its ready workers, so that no client waits for a generation that is only half
 * there.  A socket gets none while one of its workers does not become quiet; the last workers of a
 * socket get none at all.  An old socket is closed after its last worker, once its queue has been
 * empty for a while.
 *
 * With `balance = rr` or `random` each slot has sockets of its own from the start, so that the
 * kernel chooses a worker for each new connection (steer_open.c).
 *
 * With `surge = all` the new generation has a second socket in any case.  The old socket alone gets
 * new connections until the new generation is complete, which then alone gets them: no client who
 * has seen the new release is sent back.
 *
 * All workers share unix sockets, sockets that nclust was given, and sockets of several clusters;
 * UDP sockets, too, unless each slot has its own.
 */
void steer_on_report(struct service *service, const struct report *r);
void steer_on_drop(struct service *service);

void steer_left(struct child *child); /* a worker is gone */

/* Stops giving new connections to sockets with draining workers, at once. */
void steer_mute(struct child *child);
/* Called when a worker may say goodbye to its clients: they connect again at once, and must not
 * reach an old worker in a rollout, which would send them away once more. */
void steer_goodbye(struct child *child);

/* The service has taken over listeners and workers, with their lanes. */
void steer_on_adopted(struct service *service);

/* Settings that need no rollout are in force. */
void steer_on_reloaded(struct service *service);

/* Has a listener of the service several sockets? */
bool steer_is_busy(const struct service *service);
/* Must an upgrade wait?  Not for several sockets that a rollout has left that failed midway. */
bool steer_is_rolling(const struct service *service);

/*
 * Where the kernel is to spread connections (`balance = rr`) the workers of a slot, one after the
 * other, have sockets of their own.  Slots from SLOTS_MOST on share those of the first ones.
 */
#define SLOTS_MOST 60

struct steer *steer_of(struct service *service);
/* Sets s->slots, of which settings and a rollout may have changed the number. */
void steer_count_slots(struct steer *s);
/* Returns the lane for workers of that generation that share sockets. */
unsigned steer_lane_of(const struct steer *s, unsigned generation);
/* Has any worker that lane? */
bool steer_has_lane(const struct steer *s, unsigned lane);
/* Has no worker the socket any more?  Workers must have been counted. */
bool steer_is_left(const struct steer *s, const struct listener_socket *k);
/* Counts the workers of each socket into the socket; it must have a list of sockets. */
void steer_count_workers(const struct steer *s, struct listener *l);
/* Sets the sockets' shares of new connections in the kernel, if they differ or with `changed`. */
void steer_share_out(const struct steer *s, struct listener *l, bool changed);
/* Sets all shares, and moves what waits in sockets that no worker has.  While no worker has passed
 * its `ready` probe, clients wait in a socket of their own. */
void steer_adjust(struct steer *s);
/* Looks at all sockets in the next turn of the loop.  Mostly an old worker's drain follows in this
 * turn: one look is then for both, and the kernel gets the new shares once. */
void steer_look_next_turn(struct steer *s);
/* Returns how the kernel is to choose among the sockets. */
enum spread steer_spread(const struct steer *s, const struct listener *l);
/* Are workers of that generation to have sockets of their own? */
bool steer_spreads(const struct service *service, unsigned generation);
