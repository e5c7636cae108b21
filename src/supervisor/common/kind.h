/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_KIND_H
#define SUPERVISOR_KIND_H

#include "supervisor/common/state.h"

/*
 * The kind of a cluster says who fills its slots.  Usually the core does, with a worker in each
 * slot (slots.c).  With `accept = yes` a worker serves one connection, and the room accept fills
 * the slots; the core only knows whether the cluster runs.  `begin`, `check`, `stop`, `adopt`
 * and `ended` may be NULL.
 */
struct json_writer;

/* How many workers and slots a cluster has. */
struct service_counts {
	unsigned workers; /* wanted */
	unsigned ready;
	unsigned alive;
	uint32_t slots;
};

struct worker_kind {
	/* One worker for each connection: workers are not drained or checked,
	 * and need not become ready. */
	bool by_connection;

	/* Begin a cluster of so many workers.  -1: no memory. */
	int (*begin)(struct service *service, unsigned workers);
	/* See kind_check(). */
	int (*check)(const struct cluster_settings *settings, const struct listener_set *set,
		struct error *err);
	/* Make room for so many slots.  -1: no memory. */
	int (*reserve)(struct service *service, unsigned slots);

	struct service_counts (*count)(const struct service *service);
	void (*view_slot)(const struct service *service, uint32_t slot, struct slot_view *view);
	/* Write the members of a status that this kind alone has: of the cluster, and of a slot
	 * with a worker; or NULL. */
	void (*status)(struct json_writer *w, const struct service *service);
	void (*status_slot)(struct json_writer *w, const struct service *service, uint32_t slot);
	/* The next slot in turn that has a worker; SLOT_ALL: no slot has one. */
	uint32_t (*next_in_turn)(struct service *service, bool first);

	/* Set how many workers are wanted; `reserve` has made room for them. */
	void (*scale)(struct service *service, const struct scale_step *to);
	/* Called before the core is told to stop. */
	void (*stop)(struct service *service, bool at_once);
	/* A worker of an earlier nclust, which was started at `born`, was taken over. */
	void (*adopt)(struct child *child, nsec_t born);
	/* A worker has ended, and its child is gone; NULL: the core is told. */
	void (*ended)(struct service *service, struct event *event);
	/* A worker could not be started: `text` says why; `permanent`: no worker ever can. */
	void (*explain)(struct service *service, const char *text, bool permanent);
};

#endif
