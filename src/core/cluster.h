/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "core/event.h"

/*
 * A cluster decides when to start, stop, wait and give up.  It makes no
 * system call, reads no clock and, once cluster_new() or cluster_reserve()
 * has got the memory, allocates nothing.  Time is in the event, randomness is
 * a seed: a run is a function of (settings, seed, events).
 *
 * Contract of use: hand every event to cluster_handle(), carry out the
 * actions in order (a SPAWN is answered by SPAWNED or SPAWN_FAILED before
 * anything else about that worker), and send EVENT_TICK when
 * cluster_next_deadline() has come.  What concerns all slots is done a few of them
 * at a time, with the next deadline at "now" until all is done.  One call asks for
 * at most SPAWNS_AT_ONCE workers, and only in answer to EVENT_TICK: feeding
 * answers back ends, and the shell decides how many births a turn may cost,
 * however many deaths it has just reported.
 */
struct cluster;

#define SPAWNS_AT_ONCE 4

/* Takes a reference of its own to `settings`; slots start empty, the first
 * EVENT_TICK fills them.  NULL when out of memory. */
struct cluster *cluster_new(struct cluster_settings *settings, unsigned wanted, uint64_t seed);
void cluster_free(struct cluster *c); /* no worker may be alive */

/* Make room for `count` slots, for a coming EVENT_SCALE.  0 or -1. */
int cluster_reserve(struct cluster *c, unsigned count);

enum slot_state { /* as users see it */
	SLOT_EMPTY,
	SLOT_STARTING,
	SLOT_READY,
	SLOT_DRAINING,
	SLOT_STOPPING,
	SLOT_BACKOFF,
	SLOT_FAILED,
	SLOT_ENDED,   /* ended with success and not started again */
	SLOT_SPARE,   /* held back until another worker is missing */
	SLOT_WAITING, /* its worker has done its work, and the next run comes after a pause */
};

/* The list is emptied first.  Not re-entrant: answer when it has returned. */
void cluster_handle(struct cluster *c, const struct event *event, struct actions *out);

/* When the next EVENT_TICK is due, or NSEC_NEVER. */
nsec_t cluster_next_deadline(const struct cluster *c);

/*
 * The slot of the next ready worker in turn (round robin), which moves on;
 * SLOT_ALL if none is ready.  `first`: the lowest ready slot, and the turn stays.
 */
uint32_t cluster_next_in_turn(struct cluster *c, bool first);

/* ---- queries (status): nothing here changes the cluster ---- */

struct rollout_view {
	bool under_way;
	unsigned id;
	unsigned to; /* generation */
	unsigned done;
	unsigned of;
	uint32_t slot;    /* waited for; SLOT_ALL: none */
	nsec_t since;     /* point in time of its start */
	bool going_back;  /* undoing a failed rollout */
	bool drops_ports; /* its workers may listen on fewer addresses than before */
	bool fresh;       /* nothing ran when it began */
	bool unprepared;  /* waits for EVENT_PREPARED */
	bool whole;       /* surge = all, of all slots */
	bool old_alone;   /* old workers alone get new clients, until all new ones are there */
	bool new_alone;   /* new workers alone get new clients */
	unsigned canary;  /* how many canaries */
	nsec_t baking;    /* point in time until which workers are watched; or 0 */
	const struct cluster_settings *settings; /* the settings of the new generation */
};

struct worker_view {
	uint64_t id;
	pid_t pid;
	unsigned generation;
	enum slot_state state;
	nsec_t born;
	nsec_t ready_at;    /* NSEC_NEVER: not ready yet */
	nsec_t due;         /* when what it is given time for is over; NSEC_NEVER */
	unsigned stop_step; /* SLOT_STOPPING: of settings->stop */
	bool killed;        /* it has got SIGKILL */
	bool did;           /* the last run of its slot did its work: it counts as ready */
	int share;          /* of limits such as max-age, per mille more or less */
};

struct slot_view {
	enum slot_state state;
	unsigned workers;             /* alive: 0, 1 or 2 */
	struct worker_view worker[2]; /* [0] is the worker that `state` describes */
	unsigned restarts;
	bool waits;         /* STARTING: until other workers have started (start-at-once) */
	nsec_t next_try;    /* point in time; NSEC_NEVER */
	nsec_t mend_at;     /* point in time when its unfit worker is replaced */
	struct ending last; /* ENDING_NONE: no worker has died yet */
	enum why last_why;
	nsec_t last_age;
};

/* Would the only worker go before its successor comes, if it must be alone, by no setting? */
bool cluster_heeds_alone(const struct cluster *c);
/* Does nclust look for a quiet moment to send the stop signal, to workers of that generation? */
bool cluster_empties(const struct cluster *c, unsigned generation);
