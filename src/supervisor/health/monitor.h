/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MONITOR_H
#define SUPERVISOR_MONITOR_H

#include "supervisor/common/registry.h"

/*
 * Looks after the workers of a cluster for one reason (asks.of): probes them until they are ready,
 * checks them, or watches them for stalls, memory or connections.  An monitor exists from the first
 * worker whose settings need it, and has a timer. health.c and others begin it.
 */
struct monitor {
	const struct monitor_kind *kind;
	struct service *service;
	ev_timer timer;
	nsec_t due;             /* when the timer was to expire */
	nsec_t lost;            /* how late nclust came to timers, in sum */
	nsec_t lost_until;      /* up to here lateness is in that sum */
	nsec_t since;           /* when it was begun, or startup_probe.c saw a worker ready, last */
	struct child_walk walk; /* with `look`: the workers to look at next */
	nsec_t wait;            /* with `look`: time until the next round */
};

struct monitor_kind {
	size_t size;  /* of a struct that begins with a struct monitor */
	nsec_t first; /* time before the first step or look; the least between looks */
	/* Do the worker's settings need this monitor, now or at some time? */
	bool (*wants)(const struct child *child);

	/* Either: called when the timer expires. */
	void (*step)(struct monitor *a, nsec_t now);
	/* Or: looks at each worker in turn; returns when to look again. */
	nsec_t (*look)(struct child *child, nsec_t now);
	/* nclust itself stood still: forgets when a worker was seen; or NULL. */
	void (*forget)(struct child *child);

	/* If a struct batch is first in the struct: returns what to ask the worker now, or
	 * NULL. */
	const struct probe *(*probe)(const struct child *child);
	/* The result of what was asked; if not `well`, `why` says how it failed. */
	void (*answered)(struct child *child, bool well, const char *why);
	/* In place of `answered`: the worker has taken this connection of nclust's, which is closed
	 * afterwards; `sent` bytes of a request were sent. */
	void (*taken)(struct child *child, int fd, size_t sent);
};

extern const struct monitor_kind prove_kind;
extern const struct monitor_kind check_kind;
extern const struct monitor_kind warm_kind;
extern const struct monitor_kind stall_kind;
extern const struct monitor_kind memory_kind;
extern const struct monitor_kind reach_kind;
extern const struct monitor_kind count_kind;

/* The cluster's monitor, made on first use.  NULL: out of memory. */
struct monitor *monitor_of(struct service *service, enum asks_for which);
/* Lets the monitor's timer expire after that time. */
void monitor_arm(struct monitor *a, nsec_t wait);
/* Notes that nclust comes only at `now` to what was due at `due`. */
void monitor_late(struct monitor *a, nsec_t due, nsec_t now);
/* A clock that stands while nclust comes late: its workers may not have had the CPU either. */
static inline nsec_t monitor_time(const struct monitor *a, nsec_t now)
{
	return now - a->lost;
}
/* Starts the monitor if the new worker `only` needs it; NULL: if any worker does, because settings
 * have changed. */
void monitor_begin(struct service *service, const struct child *only, enum asks_for which);
/* The worker is being stopped: asks it nothing any more. */
void monitors_let_go(struct service *service, uint32_t slot, uint64_t worker);
void monitors_free(struct service *service);

#endif
