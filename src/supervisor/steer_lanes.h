/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEER_LANES_H
#define SUPERVISOR_STEER_LANES_H

#include "supervisor/state.h"
#include "supervisor/steer.h"

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

struct lane *steer_find_lane(struct steer *s, unsigned id);
/* Which one workers of that generation have. */
unsigned steer_lane_of(const struct steer *s, unsigned generation);

/* Each listener; what is visited twice must not mind. */
typedef void steer_visit(struct steer *s, struct listener *l, void *context);
void steer_visit_all(struct steer *s, steer_visit *visit, void *context);

void steer_visit_set(struct steer *s, const struct listener_set *set,
	steer_visit *visit, void *context);

/* With no lanes yet: they are counted by steer_count(). */
struct steer *steer_new(struct service *service);
void steer_count(struct steer *s);
/* With the lanes that workers and sockets have: an id is never given twice. */
struct steer *steer_begin_anew(struct service *service);
void steer_map(struct steer *s, unsigned generation, unsigned lane);
/* Those that nobody has and will have. */
void steer_drop_lanes(struct steer *s);
/* A visit: tell the kernel who gets how much; `force`: in any case. */
void steer_share_out(struct steer *s, struct listener *l, void *force);
/* Something has changed. */
void steer_look(struct steer *s);

/* ---- steer_open.c ---- */

void steer_begin(struct service *service, unsigned generation);
/* May one of its sockets be opened or closed? */
bool steer_is_among_us(struct steer *s, const struct listener *l);

/* ---- steer_rescue.c ---- */

/* Has any lane workers that have that socket? */
bool steer_has_workers(const struct steer *s, const struct listener *l,
	const struct listener_socket *socket);
/* Its workers have died, with connections waiting that they never took. */
bool steer_is_orphaned(struct steer *s, const struct lane *lane);
/* Whatever waits in a socket that has no workers goes to another one; false:
 * not that way. */
bool steer_move_queue(struct listener *l, struct listener_socket *k);

#endif
