/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_LANES_H
#define SUPERVISOR_STEER_LANES_H

#include "supervisor/common/state.h"
#include "supervisor/sockets/group.h"
#include "supervisor/drain/steer.h"

#include <ev.h>

/* Who steers what: for the files steer*.c alone. */

struct lane {
	unsigned id;
	unsigned workers;
	unsigned ready; /* take connections */
	unsigned draining;
	nsec_t since; /* the first of these does */
	bool pressed; /* it gets no more, for their sake */
};

struct from {
	unsigned generation; /* this and later ones … */
	unsigned lane;       /* … have this */
};
#define FROMS_MAX 12

struct steer {
	struct service *service;
	ev_timer timer;
	nsec_t pace; /* of its looks, right now */
	struct lane lanes[LANES_MAX];
	unsigned count;
	unsigned last; /* id */
	struct from from[FROMS_MAX];
	unsigned from_count;
	bool press_at_once; /* one of this rollout had to be helped */
	bool stranger_told;
};

/*
 * ---- steer_lanes.c ----
 *
 * Which socket has which worker: plain arithmetic.  A worker has a lane, and so has
 * a socket; workers have the socket of the greatest lane that is not greater than
 * theirs (group_socket()).  So no lane may be given twice as long as anybody has
 * it, whoever has made it.
 */
struct lane *steer_find_lane(struct steer *s, unsigned id);
/* One that a worker or a socket has, or is about to. */
void steer_add_lane(struct steer *s, unsigned id);
/* The id for another one; 0: there is no room for it. */
unsigned steer_new_lane(const struct steer *s);
/* Workers of that generation, and of later ones, have it. */
void steer_map(struct steer *s, unsigned generation, unsigned lane);
/* A worker of that generation has been found in it; in order of generations. */
void steer_map_found(struct steer *s, unsigned generation, unsigned lane);
/* Which one workers of that generation have. */
unsigned steer_lane_of(const struct steer *s, unsigned generation);
/* All may have left that lane, one by one: those who are started go elsewhere. */
void steer_move_home(struct steer *s, unsigned home);
/* Nobody is started of an earlier generation than that. */
void steer_forget_before(struct steer *s, unsigned in_force);
/* Has it workers, or may it get some?  They are of the generation in force, or of
 * that to which a rollout goes (else the same). */
bool steer_is_live(const struct steer *s, const struct lane *lane,
	unsigned in_force, unsigned next);
/* Is there such a lane whose workers have that socket? */
bool steer_is_needed(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket, unsigned in_force, unsigned next);
/* One with workers? */
bool steer_has_workers(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket);

/* ---- steer.c ---- */

/* Each listener; what is visited twice must not mind. */
typedef void steer_visit(struct steer *s, struct listener *l, void *context);
void steer_visit_all(struct steer *s, steer_visit *visit, void *context);

/* With no lanes yet: they are counted by steer_count(). */
struct steer *steer_new(struct service *service);
void steer_count(struct steer *s);
/* With the lanes that workers and sockets have: an id is never given twice. */
struct steer *steer_begin_anew(struct service *service);
/* Those that nobody has and will have. */
void steer_drop_lanes(struct steer *s);
/* Its workers have died, with connections waiting that they never took. */
bool steer_is_orphaned(struct steer *s, const struct lane *lane);
/* A visit: tell the kernel who gets how much; `force`: in any case. */
void steer_share_out(struct steer *s, struct listener *l, void *force);
/* Something has changed. */
void steer_look(struct steer *s);

/* ---- steer_open.c ---- */

void steer_begin(struct service *service, unsigned generation);
/* May one of its sockets be opened or closed? */
bool steer_is_among_us(struct steer *s, const struct listener *l);

#endif
