/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOLDING_H
#define SUPERVISOR_HOLDING_H

#include "supervisor/common/part.h"

/* Names a listener or a segment of shared memory for the hooks `left_over` and `let_go`; the other
 * of the two is NULL. */
struct holding {
	struct listener *listener;
	struct listener_socket *socket; /* one of the listener's sockets; NULL: all of them */
	struct segment *segment;
	const struct cluster_settings *settings; /* the settings that ask for `segment` */
};

/* Call the hook `left_over` of all rooms (part.h), until one has what an earlier nclust held. */
int holding_left_over(struct holding *holding, struct error *err);

/* Walks over the listeners of a service: of the settings in force, of the recipes of other
 * generations, and learned listeners.  A listener that is in several of these sets
 * is visited several times. */
enum listener_sets {
	LISTENERS_ALL,
	LISTENERS_NAMED,    /* named by settings: those in force, or a recipe's */
	LISTENERS_IN_FORCE, /* of the settings in force, and learned listeners */
};
struct listener_walk {
	const struct service *service;
	enum listener_sets sets;
	const struct child *child; /* leave out what other slots have for themselves; or NULL */
	const struct listener_set *set; /* the set of `at`; NULL: the walk has not begun */
	const struct recipe *recipe;    /* its set comes next */
	size_t at;
};

struct listener_walk listeners_of(const struct service *service, enum listener_sets sets);
/* Walk over the listeners that this worker may have. */
struct listener_walk listeners_for(const struct child *child, enum listener_sets sets);
/* The next listener; NULL: there is none. */
struct listener *listener_next(struct listener_walk *walk);
#define for_each_listener(l, walk) \
	for (struct listener_walk l##_walk = (walk); ((l) = listener_next(&l##_walk)) != NULL;)

#endif
