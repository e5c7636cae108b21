/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ASKER_H
#define SUPERVISOR_ASKER_H

#include "supervisor/common/registry.h"

/*
 * An asker looks after the workers of a cluster for one reason (asks.of): it
 * probes them until they are ready, checks them, or watches them for stalls or
 * for memory.  It exists from the first worker whose settings ask for it, and
 * has a timer.
 */
struct asker {
	const struct asker_kind *kind;
	struct service *service;
	ev_timer timer;
	nsec_t due;             /* when that was to expire */
	nsec_t lost;            /* so long did nclust come late, in sum, … */
	nsec_t lost_until;      /* … up to that time */
	nsec_t since;           /* when it began, the last time */
	struct child_walk walk; /* look: the workers that are next … */
	nsec_t wait;            /* … and until the next round */
};

struct asker_kind {
	size_t size;  /* of a struct that begins with a struct asker */
	nsec_t first; /* before the first step or look; the least between looks */
	/* Do the worker's settings ask for it, now or at some time? */
	bool (*wants)(const struct child *child);

	/* Either: what is done when the timer expires. */
	void (*step)(struct asker *a, nsec_t now);
	/* Or: a look at each worker in turn; when to look again. */
	nsec_t (*look)(struct child *child, nsec_t now);
	/* nclust itself stood still: forget when a worker was seen; or NULL. */
	void (*forget)(struct child *child);

	/* If the struct begins with a struct volley: what the worker is to be
	 * asked now, or NULL; and its result, or `why` it failed. */
	const struct probe *(*probe)(const struct child *child);
	void (*answered)(struct child *child, bool well, const char *why);
	/* In place of both: the worker has taken this connection of ours, which
	 * is closed afterwards; `sent` bytes of a request were sent. */
	void (*taken)(struct child *child, int fd, size_t sent);
};

extern const struct asker_kind prove_kind;
extern const struct asker_kind check_kind;
extern const struct asker_kind warm_kind;
extern const struct asker_kind stall_kind;
extern const struct asker_kind memory_kind;
extern const struct asker_kind reach_kind;
extern const struct asker_kind count_kind;

/* The cluster's asker, made on first use.  NULL: out of memory. */
struct asker *asker_of(struct service *service, enum asks_for which);
/* Let its timer expire after that time. */
void asker_arm(struct asker *a, nsec_t wait);
/* nclust comes at `now` to what was due at that time. */
void asker_late(struct asker *a, nsec_t due, nsec_t now);
/* A clock that stands still while nclust comes late: its workers may not have had the CPU
 * either. */
static inline nsec_t asker_time(const struct asker *a, nsec_t now)
{
	return now - a->lost;
}
/* Start it if this worker, which is new, needs it; NULL: if any one does, because
 * settings have changed. */
void asker_begin(struct service *service, const struct child *only, enum asks_for which);
/* The worker is being stopped: ask it nothing any more. */
void askers_let_go(struct service *service, uint32_t slot, uint64_t worker);
void askers_free(struct service *service);

#endif
