/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOLDING_H
#define SUPERVISOR_HOLDING_H

#include "supervisor/common/part.h"

/* What nclust holds while workers come and go: a listener, or a segment of
 * shared memory.  One of the two is NULL. */
struct holding {
	struct listener *listener;
	struct listener_socket *socket; /* only this one of the listener's
					   sockets; NULL: all of them */
	struct segment *segment;
	const struct cluster_settings *settings; /* that ask for `segment` */
};

/* Ask all rooms for what an earlier nclust had: see `left_over` in part.h. */
int holding_left_over(struct holding *holding, struct error *err);

/* Walk through the listeners of a service: those in force, those of the recipes
 * of other generations, and those that its workers have bound.  A listener that
 * is in several of these sets is visited several times. */
enum listener_sets {
	LISTENERS_ALL,
	LISTENERS_NAMED,    /* by settings: in force, or a recipe's */
	LISTENERS_IN_FORCE, /* and those that workers have bound */
};
struct listener_walk {
	const struct service *service;
	enum listener_sets sets;
	const struct child *child;      /* leave out other slots' own; or NULL */
	const struct listener_set *set; /* current; NULL: at the start */
	const struct recipe *recipe;    /* whose set is the next */
	size_t at;
};

struct listener_walk listeners_of(const struct service *service, enum listener_sets sets);
/* Only those that this worker may have. */
struct listener_walk listeners_for(const struct child *child, enum listener_sets sets);
/* The next listener; NULL: there is none. */
struct listener *listener_next(struct listener_walk *walk);
#define for_each_listener(l, walk) \
	for (struct listener_walk l##_walk = (walk); ((l) = listener_next(&l##_walk)) != NULL;)

#endif
