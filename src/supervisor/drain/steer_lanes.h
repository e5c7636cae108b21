/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_LANES_H
#define SUPERVISOR_STEER_LANES_H

#include "supervisor/common/state.h"
#include "supervisor/sockets/group.h"
#include "supervisor/drain/steer.h"

#include <ev.h>

/* What the files steer*.c share with each other alone. */

struct lane {
	unsigned id;
	unsigned workers;
	unsigned generation; /* the latest of these */
	unsigned ready;      /* workers that take connections */
	unsigned draining;
	nsec_t since; /* when the first of these began to drain */
	bool pressed; /* no new connections, so that these become quiet */
	bool seated;  /* it is of one seat alone */
	unsigned seat;
};

/*
 * Where the kernel is to spread connections (`balance = rr`) each slot has a
 * seat, and each seat a lane: its workers have sockets of their own, one after
 * the other.  Beyond that many slots some share a seat.
 */
#define SEATS_MAX 60

struct from {
	unsigned generation; /* this generation and later ones … */
	unsigned lane;       /* … have this lane */
};
#define FROMS_MAX 12

struct steer {
	struct service *service;
	ev_timer timer;
	nsec_t pace; /* from one look to the next */
	bool soon;   /* a worker became ready: look in the next turn */
	struct lane lanes[LANES_MAX];
	unsigned count;
	unsigned last; /* the greatest id given so far */
	struct from from[FROMS_MAX];
	unsigned from_count;
	unsigned seats;     /* that are, or will be, taken; 0: none has one */
	bool press_at_once; /* a worker of this rollout had to be helped */
	bool stay;          /* clients do, so the new generation has sockets of its own */
	bool parts;         /* … and now it alone gets connections, … */
	nsec_t free_at;     /* … of which none waited then */
	bool stranger_told;
};

/*
 * ---- steer_lanes.c ----
 *
 * Which worker has which socket: plain arithmetic.  Workers and sockets have a
 * lane; a worker has the socket of the greatest lane that is not greater than
 * its own (group_socket()).  So the id of a lane is not given again while a
 * worker or a socket has it.
 */
struct lane *steer_find_lane(struct steer *s, unsigned id);
/* Add a lane that a worker or a socket has, or is about to have. */
void steer_add_lane(struct steer *s, unsigned id);
/* The id for another lane; 0: there is no room for it. */
unsigned steer_new_lane(const struct steer *s);
/* New workers of that generation, and of later ones, get this lane. */
void steer_map(struct steer *s, unsigned generation, unsigned lane);
/* The newest lane of that seat; NULL: it has none. */
struct lane *steer_seat(struct steer *s, unsigned seat);
/* The socket that workers of this lane have; NULL: it has no own one there, but
 * was to have. */
struct listener_socket *steer_socket(const struct listener *l, const struct lane *lane);
/* The same, from a living worker; call it in the order of generations. */
void steer_map_found(struct steer *s, unsigned generation, unsigned lane);
/* The lane for workers of that generation. */
unsigned steer_lane_of(const struct steer *s, unsigned generation);
/* If lane `home` has no workers left, map its generations to a lane that
 * has. */
void steer_move_home(struct steer *s, unsigned home);
/* Forget the lanes of generations before the one in force: none is started. */
void steer_forget_before(struct steer *s, unsigned in_force);
/* Has the lane workers, or will it get some?  New ones are of the generation in
 * force, or of `next`, to which a rollout goes (without one: the same). */
bool steer_is_live(
	const struct steer *s, const struct lane *lane, unsigned in_force, unsigned next);
/* Is there a live lane whose workers have that socket? */
bool steer_is_needed(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket, unsigned in_force, unsigned next);
/* Is there a lane with workers that has that socket? */
bool steer_has_workers(
	const struct steer *s, const struct listener *l, const struct listener_socket *socket);

/* ---- steer.c ---- */

/* Make it, with the lanes that living workers and sockets have. */
struct steer *steer_begin_anew(struct service *service);
/* Drop lanes that no worker has or will get. */
void steer_drop_lanes(struct steer *s);
/* Have the lane's workers died, with connections in a queue of theirs? */
bool steer_is_orphaned(const struct steer *s, const struct lane *lane);
/* Set the sockets' shares of new connections in the kernel, if they or the
 * sockets have `changed`. */
void steer_share_out(const struct steer *s, struct listener *l, bool changed);
/* Something has changed: adjust shares, close old sockets, arm the timer. */
void steer_look(struct steer *s);
/* The same in the next turn.  Mostly an old worker's drain follows in this one: then
 * one look is for both, and the kernel gets the new shares once. */
void steer_look_next_turn(struct steer *s);

/* How the kernel is to choose among those that have seats. */
enum spread steer_spread(const struct steer *s, const struct listener *l);
/* Are workers of that generation to have seats? */
bool steer_spreads(const struct service *service, unsigned generation);

/* ---- steer_seats.c ---- */

/* The lane for a worker of that generation which will start in that slot; it has
 * a seat. */
unsigned steer_take_seat(struct steer *s, unsigned generation, uint32_t slot);
/* A worker of this lane has ended: what waits in its socket goes to others, if
 * the kernel moves it; else its successor finds it there. */
void steer_leave_seat(struct steer *s, unsigned lane);

/* ---- steer_open.c ---- */

/* Open a socket of this lane at the listener's address, if it is to have one and
 * has none; `own`: a worker of the lane alone has the one that there is.  True:
 * there is one more. */
bool steer_open_own(struct steer *s, struct listener *l, unsigned lane, bool own);
void steer_begin(struct service *service, unsigned generation);
/* The older worker of that slot; NULL: there is none. */
struct child *steer_find_old(const struct service *service, uint32_t slot);
/* May nclust open or close sockets of this listener?  Not while another program
 * listens at its address (group_has_stranger()). */
bool steer_is_among_us(struct steer *s, const struct listener *l);

#endif
