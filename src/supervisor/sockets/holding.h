/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOLDING_H
#define SUPERVISOR_HOLDING_H

#include "supervisor/common/part.h"

/*
 * What nclust holds so that workers may come and go: a listener, or a segment of
 * shared memory.  One of the two is NULL.
 */
struct holding {
	struct listener *listener;
	struct listener_socket *socket; /* of `listener`: only that one of its
					   sockets is meant; or NULL: all */
	struct segment *segment;
	const struct cluster_settings *settings; /* that ask for `segment` */
};

/* Ask all rooms for what an earlier nclust had: see `left_over` in part.h. */
int holding_left_over(struct holding *holding, struct error *err);

/* The listeners of a service: those in force, those that recipes of generations
 * before or after have, and those that its workers have bound.  One that is in
 * several sets is met several times. */
enum listener_sets {
	LISTENERS_ALL,
	LISTENERS_NAMED,    /* by settings: in force, or a recipe's */
	LISTENERS_IN_FORCE, /* and those that workers have bound */
};
struct listener_walk {
	const struct service *service;
	enum listener_sets sets;
	const struct listener_set *set; /* that it is in; NULL: it begins */
	const struct recipe *recipe;    /* whose is the next */
	size_t at;
};

static inline struct listener_walk listeners_of(
	const struct service *service, enum listener_sets sets)
{
	return (struct listener_walk){.service = service, .sets = sets};
}
/* The next one; NULL: that was all. */
struct listener *listener_next(struct listener_walk *walk);

#endif
