/* SPDX-License-Identifier: MIT */
#ifndef CORE_CLUSTER_H
#define CORE_CLUSTER_H

#include "base/nsec.h"
#include "core/action.h"
#include "core/event.h"

/*
 * A cluster decides when to start, stop, wait and give up.  It makes no
 * system call, reads no clock and, once cluster_init() or cluster_reserve()
 * has got the memory, allocates nothing.  Time is in the event, randomness is
 * a seed: a run is a function of (settings, seed, events).
 *
 * Contract of use: hand every event to cluster_handle(), carry out the
 * actions in order (a SPAWN is answered by SPAWNED or SPAWN_FAILED before
 * anything else about that worker), and send EVENT_TICK when
 * cluster_next_deadline() has come.  The work of one call does not grow with
 * the number of slots: what concerns all of them is done a few slots at a
 * time, with the next deadline at "now" until all is done.  One call asks for
 * at most SPAWNS_AT_ONCE workers, and only in answer to EVENT_TICK: feeding
 * answers back ends, and the shell decides how many births a turn may cost,
 * however many deaths it has just told.
 */
struct cluster;

#define SPAWNS_AT_ONCE 4

/* Takes a reference of its own to `settings`; slots start empty, the first
 * EVENT_TICK fills them.  NULL when out of memory. */
struct cluster *cluster_new(struct cluster_settings *settings, unsigned wanted, uint64_t seed);
void cluster_free(struct cluster *c); /* no worker may be alive */

/* Make room for `count` slots, for a coming EVENT_SCALE.  0 or -1. */
int cluster_reserve(struct cluster *c, unsigned count);

/*
 * Workers that live already, as an nclust before this one has left them: said
 * before the first EVENT_TICK.  First which generation is in force and what was
 * learned of its command (-1: too late), then each worker: its id, or 0 where
 * there is no place for it.  Of two in one slot the older comes first.
 */
struct adoption {
	uint32_t slot;
	unsigned generation; /* at most the one in force */
	pid_t pid;
	unsigned restarts; /* of its slot */
	nsec_t now;
	nsec_t born;
	nsec_t ready_at; /* NSEC_NEVER: it is starting */
};
int cluster_adopt_begin(struct cluster *c, unsigned generation, bool says_ready, bool listens);
uint64_t cluster_adopt(struct cluster *c, const struct adoption *a);

/* The list is emptied first.  Not re-entrant: answer when it has returned. */
void cluster_handle(struct cluster *c, const struct event *event, struct actions *out);

/* When the next EVENT_TICK is due, or NSEC_NEVER. */
nsec_t cluster_next_deadline(const struct cluster *c);

/*
 * The worker that is next in turn among the ready ones (round robin): its
 * slot, and moves on; SLOT_ALL if none is ready.  `first`: the lowest ready
 * slot, and the turn stays.
 */
uint32_t cluster_next_in_turn(struct cluster *c, bool first);

/* ---- looking at it (status); nothing here changes it ---- */

struct rollout_view {
	bool under_way;
	unsigned id;
	unsigned to; /* generation */
	unsigned done;
	unsigned of;
	uint32_t slot;    /* waited for; SLOT_ALL: none */
	nsec_t since;     /* point in time of its start */
	bool going_back;  /* undoing a failed one */
	bool drops_ports; /* its workers may listen on less than before */
	bool fresh;       /* nothing ran when it began */
	bool unprepared;  /* it waits for EVENT_PREPARED */
	bool whole;       /* surge = all, of all slots: in the end … */
	bool old_alone;   /* … until all are there the old ones … */
	bool new_alone;   /* … and then the new ones alone get new clients */
	unsigned canary;  /* so many first */
	nsec_t baking;    /* point in time until which they are watched; or 0 */
	const struct cluster_settings *settings; /* it goes to */
};

enum slot_state { /* as users see it */
	SLOT_EMPTY,
	SLOT_STARTING,
	SLOT_READY,
	SLOT_DRAINING,
	SLOT_STOPPING,
	SLOT_BACKOFF,
	SLOT_FAILED,
	SLOT_ENDED, /* ended with success and not started again */
	SLOT_SPARE, /* held back until another one is missing */
};

struct worker_view {
	uint64_t id;
	pid_t pid;
	unsigned generation;
	enum slot_state state;
	nsec_t born;
	nsec_t ready_at;    /* NSEC_NEVER: not ready yet */
	nsec_t due;         /* what it is given time for is over; NSEC_NEVER */
	unsigned stop_step; /* SLOT_STOPPING: of settings->stop */
	bool killed;        /* it has got SIGKILL */
	int share;          /* of limits such as max-age, per mille more or less */
};

struct slot_view {
	enum slot_state state;
	unsigned workers;             /* alive: 0, 1 or 2 */
	struct worker_view worker[2]; /* [0] is the one that state tells of */
	unsigned restarts;
	bool waits;         /* STARTING: for others to start (start-at-once) */
	nsec_t next_try;    /* point in time; NSEC_NEVER */
	nsec_t mend_at;     /* so too: its worker is unfit, and serves on */
	struct ending last; /* ENDING_NONE: nobody has died yet */
	enum why last_why;
	nsec_t last_age;
};

const struct cluster_settings *cluster_settings(const struct cluster *c);
/* Those of a generation that has workers; NULL: it has none. */
const struct cluster_settings *cluster_generation_settings(
	const struct cluster *c, unsigned generation);
/* Those that it is on the way to: of the latest request, else in force. */
const struct cluster_settings *cluster_next_settings(const struct cluster *c);
enum cluster_state cluster_state(const struct cluster *c);
/* Is it as ready as it can be: all wanted workers, or none is wanted? */
bool cluster_all_ready(const struct cluster *c);
/* Was it asked to stop, and has not failed? */
bool cluster_was_stopped(const struct cluster *c);
unsigned cluster_wanted(const struct cluster *c);
unsigned cluster_ready(const struct cluster *c);  /* counters, not counted */
unsigned cluster_spares(const struct cluster *c); /* wanted ones */
bool cluster_has_spare(const struct cluster *c);  /* one that may serve now */
unsigned cluster_alive(const struct cluster *c);
/* Every wanted slot has a ready worker, or will have none by its restart
 * policy, and nobody else is alive. */
bool cluster_is_settled(const struct cluster *c);
unsigned cluster_generation(const struct cluster *c);
uint32_t cluster_slots(const struct cluster *c);    /* also those that leave */
bool cluster_ever_ready(const struct cluster *c);   /* any worker, ever */
bool cluster_knows_notify(const struct cluster *c); /* READY=1 was seen */
bool cluster_knows_listen(const struct cluster *c); /* so was listen(2) */
/* Is the moment of the stop signal looked for, of workers of that generation? */
bool cluster_empties(const struct cluster *c, unsigned generation);
void cluster_view_slot(const struct cluster *c, uint32_t slot, struct slot_view *view);
struct rollout_view cluster_view_rollout(const struct cluster *c);

/*
 * The id that the latest EVENT_ROLL got.  It may have to wait its turn: then
 * REPORT_ROLLOUT_STARTED comes later, or REPORT_ROLLOUT_SUPERSEDED without it.
 */
unsigned cluster_last_rollout(const struct cluster *c);
uint64_t cluster_last_worker(const struct cluster *c); /* id; 0: none yet */

const char *cluster_state_name(enum cluster_state state);
const char *slot_state_name(enum slot_state state);

#endif
