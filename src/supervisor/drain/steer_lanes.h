/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_LANES_H
#define SUPERVISOR_STEER_LANES_H

#include "supervisor/common/state.h"
#include "supervisor/sockets/group.h"
#include "supervisor/drain/drain.h"

#include <ev.h>

/* Shared by the files steer*.c alone. */

struct lane {
	unsigned id;
	unsigned workers;
	unsigned generation; /* the latest one of its workers */
	unsigned ready;      /* workers that take connections */
	unsigned draining;
	nsec_t draining_since; /* when the first of these began to drain */
	bool muted;            /* it gets no new connections, so that its workers become quiet */
	bool seated;           /* it belongs to one seat */
	unsigned seat;
};

/*
 * Where the kernel is to spread connections (`balance = rr`) each slot has a seat, and each seat a
 * lane: the seat's workers, one after the other, have sockets of their own.  Slots beyond SEATS_MAX
 * share seats.
 */
#define SEATS_MAX 60

struct mapping {
	unsigned generation; /* the first generation in that lane */
	unsigned lane;
};
#define MAPPINGS_MAX 12

struct steer {
	struct service *service;
	ev_timer timer;
	nsec_t interval;     /* time from one look to the next */
	bool look_next_turn; /* a worker became ready: look in the next turn */
	struct lane lanes[LANES_MAX];
	unsigned count;
	unsigned last_id; /* the greatest lane id so far */
	struct mapping mappings[MAPPINGS_MAX];
	unsigned mapping_count;
	unsigned seats;    /* how many seats the cluster uses; 0: lanes are not seated */
	bool mute_at_once; /* a worker of this rollout did not become quiet by itself */
	bool clients_stay; /* most clients keep their connections: the new generation has own sockets */
	bool new_alone;        /* the new generation alone gets connections */
	nsec_t queue_empty_at; /* when no connection waited for it last */
};

/* ---- steer_lanes.c ----
 *
 * Plain arithmetic of lanes, workers and sockets.  A worker has the socket of the greatest lane
 * that is not greater than its own (group_socket()).  So the id of a lane is not given again while
 * a worker or a socket has it.
 */
struct lane *steer_find_lane(struct steer *s, unsigned id);
/* Adds a lane that a worker or a socket has, or is about to have. */
void steer_add_lane(struct steer *s, unsigned id);
/* Returns the id for another lane; 0: there is no room for another lane. */
unsigned steer_new_lane(const struct steer *s);
/* Puts new workers of that generation, and of later ones, into this lane. */
void steer_map(struct steer *s, unsigned generation, unsigned lane);
/* Returns the socket that workers of this lane have; NULL: the lane has a seat, but no socket of
 * its own at this listener. */
struct listener_socket *steer_socket(const struct listener *l, const struct lane *lane);
/* Like steer_map(), for the lane of a living worker; call it in the order of generations. */
void steer_map_found(struct steer *s, unsigned generation, unsigned lane);
/* Returns the lane for workers of that generation. */
unsigned steer_lane_of(const struct steer *s, unsigned generation);
/* If lane `home` has no workers left, maps its generations to a lane that has workers. */
void steer_move_home(struct steer *s, unsigned home);
/* Forgets the lanes of generations before that in force, of which no worker is started any more. */
void steer_forget_before(struct steer *s, unsigned in_force);
/* Has the lane workers, or will it get some?  New workers are of the generation in force, or of
 * `next`, to which a rollout goes (without a rollout: the same). */
bool steer_is_live(
	const struct steer *s, const struct lane *lane, unsigned in_force, unsigned next);
/* Is there a live lane whose workers have that socket? */
bool steer_is_needed(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket, unsigned in_force, unsigned next);
/* Is there a lane with workers that has that socket? */
bool steer_has_workers(
	const struct steer *s, const struct listener *l, const struct listener_socket *socket);

/* ---- steer.c ---- */

/* Makes the state of steering, with the lanes that living workers and sockets have. */
struct steer *steer_begin_anew(struct service *service);
/* Drops lanes that no worker has or will get, and whose sockets have no queue. */
void steer_drop_lanes(struct steer *s);
/* Have the lane's workers died, with connections in a queue of theirs? */
bool steer_is_orphaned(const struct steer *s, const struct lane *lane);
/* Sets the sockets' shares of new connections in the kernel, if they differ or with `changed`. */
void steer_share_out(const struct steer *s, struct listener *l, bool changed);
/* Calls steer_look() in the next turn of the loop.  Mostly an old worker's drain follows in this
 * turn: one look is then for both, and the kernel gets the new shares once. */
void steer_look_next_turn(struct steer *s);

/* Returns how the kernel is to choose among the sockets of seats. */
enum spread steer_spread(const struct steer *s, const struct listener *l);
/* Are workers of that generation to have seats? */
bool steer_spreads(const struct service *service, unsigned generation);

/* ---- steer seats ---- */

/* Returns the seated lane for a worker of that generation that will start in that slot. */
unsigned steer_take_seat(struct steer *s, unsigned generation, uint32_t slot);
/* A worker of this lane has ended: moves the connections that wait in its socket to other workers,
 * if the kernel can do that; else the worker's successor finds them in that socket. */
void steer_leave_seat(struct steer *s, unsigned lane);

/* ---- steer_open.c ---- */

/* Opens a socket of this lane at the listener's address, if the lane is to have its own.  `own`:
 * the only socket there is that of a worker of the lane.  True: there is one socket more. */
bool steer_open_own(struct steer *s, struct listener *l, unsigned lane, bool own);
void steer_begin(struct service *service, unsigned generation);
/* Returns the worker of that slot that a new one is to replace; NULL: there is none. */
struct child *steer_find_old(const struct service *service, uint32_t slot);
/* May nclust open or close sockets of this listener?  Not while another program listens at the same
 * address (group_has_stranger()). */
bool steer_is_among_us(struct steer *s, const struct listener *l);

#endif
