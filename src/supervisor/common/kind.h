/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_KIND_H
#define SUPERVISOR_KIND_H

#include "supervisor/common/state.h"

/*
 * What a cluster's slots are.  Nearly always they are the core's, which keeps a
 * worker alive in each (service.c).  With `accept = yes` a worker is there for one
 * connection, and who fills a slot is decided by the room accept: the core has no
 * worker then, and only knows whether the cluster runs.
 *
 * `begin`, `check`, `stop` and `adopt` may be NULL: nothing is to be done.
 */
struct json_writer;

struct worker_kind {
	/* One worker for each connection: nobody waits until it is ready, is to be
	 * drained or is checked. */
	bool by_connection;

	/* A cluster of this kind begins, with so many workers.  -1: no memory. */
	int (*begin)(struct service *service, unsigned workers);
	/* See kind_check(). */
	int (*check)(const struct cluster_settings *settings,
		const struct listener_set *set, struct error *err);
	/* Room for as many slots as the service has, or is to have.  -1: no memory. */
	int (*reserve)(struct service *service, unsigned slots);

	unsigned (*workers)(const struct service *service); /* wanted */
	unsigned (*ready)(const struct service *service);
	unsigned (*alive)(const struct service *service);
	uint32_t (*slots)(const struct service *service);
	void (*view_slot)(const struct service *service, uint32_t slot,
		struct slot_view *view);
	/* Members of a status that other kinds do not have: the cluster's, and those
	 * of a slot with a worker; or NULL. */
	void (*status)(struct json_writer *w, const struct service *service);
	void (*status_slot)(struct json_writer *w,
		const struct service *service, uint32_t slot);
	/* The next slot in turn that has a worker; SLOT_ALL: none has. */
	uint32_t (*next_in_turn)(struct service *service, bool first);

	/* So many are wanted; there is room for them. */
	void (*scale)(struct service *service, unsigned count);
	/* A stop is about to be told to the core. */
	void (*stop)(struct service *service, bool at_once);
	/* One of an earlier nclust serves on; its child is there, born then. */
	void (*adopt)(struct child *child, nsec_t born);
	/* A worker has ended, and its child is gone.  `later`: something of it, of
	 * that serial, lives still. */
	void (*ended)(struct service *service, struct event *event, bool later,
		uint64_t serial);
	/* One could not be started, as `text` says; `permanent`: none can. */
	void (*explain)(
		struct service *service, const char *text, bool permanent);
};

#endif
