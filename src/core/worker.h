/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "config/settings.h"
#include "core/event.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A worker is one life of one process: it is born into a slot, may become ready,
 * is asked to stop, and ends.  It never comes back; the slot gets another worker.
 * A worker holds no descriptor and makes no system call: its pidfd and pipes
 * belong to the `struct child` of the same id (supervisor/workers/child.h).
 *
 * Owned by its slot, stored by value.  No pointer to a worker outlives a call of
 * cluster_handle(); keep the id instead.
 */
enum SMALL worker_state {
	WORKER_NONE,
	WORKER_ASKED,    /* SPAWN is not answered yet */
	WORKER_UNWANTED, /* SPAWN is not answered yet, and the worker is to be stopped then */
	WORKER_STARTING,
	WORKER_READY,
	WORKER_LEAVING,  /* was ready, and sent STOPPING=1 by itself */
	WORKER_DRAINING, /* to be stopped at a quiet moment */
	WORKER_STOPPING,
	WORKER_KILLED,
	WORKER_SPARE, /* at the gate (internal.h) */
	WORKER_STATES,
};

enum worker_event {
	ON_SPAWNED,
	ON_FAILED,  /* its spawn failed */
	ON_PROVEN,  /* alive for long enough to count as ready */
	ON_REFUSED, /* its bind(2) was refused: being alive is not enough */
	ON_IDLE,    /* it need not be alive for longer */
	ON_READY,
	ON_LEAVING,
	ON_EXTEND,
	ON_ALIVE,    /* WATCHDOG=1 */
	ON_INTERVAL, /* a new interval of its watchdog */
	ON_HUNG,     /* no WATCHDOG=1 in time, or no progress */
	ON_DRAIN,    /* stop it, at a quiet moment */
	ON_DRAINED,  /* the quiet moment, or the end of the time for it */
	ON_STOP,
	ON_KILL,
	ON_DEADLINE,
	ON_LAST_STOP_WAIT, /* the deadline of the last step of the stop */
	ON_LEFTOVERS,      /* its main process has ended, others have not */
	ON_EXIT,
	ON_GATE,
	ON_PASS, /* let it pass the gate, as it is needed */
	ON_RELEASE,
	WORKER_EVENTS,
};

/* Deadlines are by the unstalled clock: that of the events less all the time
 * that nclust itself stood still (EVENT_LATE). */
struct worker {
	uint64_t id;      /* never used twice */
	nsec_t born;      /* when its spawn was answered */
	nsec_t ready_at;  /* when it became ready; NSEC_NEVER: not yet */
	nsec_t proven_at; /* STARTING: ready then; NSEC_NEVER: it must say so */
	nsec_t deadline;  /* NSEC_NEVER: none */
	nsec_t extend_by; /* STARTING, STOPPING: it can put the deadline off until
			     then; 0: it did not ask */
	pid_t pid;
	unsigned generation;
	nsec_t interval;     /* of its watchdog; 0: as in settings */
	nsec_t serves_since; /* ready_at by the unstalled clock */
	nsec_t retire_at;    /* READY: too old then (health.c) */
	nsec_t gate_at;      /* when it came to the gate; 0: it did not */
	int age_share;       /* of max-age and max-requests, per mille more or
				less */
	uint8_t stop_step;   /* of settings->stop */
	bool released;       /* STARTING: it may pass the gate */
	bool said;           /* STARTING, SPARE: it is ready but for the gate */
	bool granted;        /* READY: a moment more, for its watchdog (health.c) */
	bool slow;           /* STARTING: no other waits for it (internal.h) */
	bool tells;          /* STOPPING: after its hang signal, the stop signal is next */
	bool opens;          /* STARTING: it is not ready before it opens a port */
	enum worker_state state;
	enum why why;   /* why it was asked to go */
	enum why unfit; /* READY: why a successor is wanted; WHY_ITSELF: none is */
};

/* How long a worker may outlive SIGKILL before it is reported and forgotten. */
#define KILL_GRACE (10 * SECOND)
/* The longest wait between two stop signals for a connection's process, so that a script that
 * ignores them does not delay a stop. */
#define ACCEPT_STEP_MOST (5 * SECOND)
/* How long a worker may write a trace, after its hang signal. */
#define HANG_MOMENT (2 * SECOND)
/* How long a worker can put off the deadline of its start, and again that of its
 * stop, from the first time that it asks for it (EXTEND). */
#define EXTEND_MAX (1 * HOUR)

/* What a worker's event needs beyond its name. */
struct moment {
	nsec_t now;
	nsec_t lost; /* now - lost is the unstalled clock */
	uint32_t slot;
	const struct cluster_settings *settings; /* of its generation */
	bool says_ready;                         /* SPAWNED: its command is known to send READY=1 */
	bool opens;   /* SPAWNED, IDLE: as in its event, unless its command is known as silent */
	pid_t pid;    /* SPAWNED */
	nsec_t span;  /* EXTEND, INTERVAL; STOP: wait at least that long after the first signal;
			 SPAWNED: what the slot knows as `lived` */
	enum why why; /* HUNG, DRAIN, STOP, KILL */
	struct actions *out;
};

/* Begin a worker, in state ASKED. */
void worker_init(struct worker *w, uint64_t id, unsigned generation);

/* False, and nothing done, if the worker's state does not know the event. */
bool worker_handle(struct worker *w, enum worker_event event, const struct moment *at);

/* Add a report about the worker, with its pid, its age (0: it was not born) and why
 * it was asked to go. */
struct report *worker_report(struct actions *out, enum report_kind kind, uint32_t slot,
	const struct worker *w, nsec_t now);

/* How often the worker has to send WATCHDOG=1; 0: never. */
nsec_t worker_interval(const struct worker *w, const struct cluster_settings *settings);

/* When the worker's next deadline is due by the events' clock, and as which event. */
nsec_t worker_due(const struct worker *w, nsec_t lost);
enum worker_event worker_due_event(const struct worker *w, const struct cluster_settings *settings);

/* Was a death for that reason wanted, and not a failure? */
static inline bool why_is_no_failure(enum why why)
{
	return why != WHY_ITSELF && why != WHY_START_TIMEOUT && why != WHY_WATCHDOG &&
		why != WHY_STALL;
}

static inline bool worker_is_coming(const struct worker *w)
{
	return w->state == WORKER_ASKED || w->state == WORKER_STARTING;
}

static inline bool worker_is_going(const struct worker *w)
{
	return w->state == WORKER_UNWANTED || w->state == WORKER_DRAINING ||
		w->state == WORKER_STOPPING || w->state == WORKER_KILLED;
}

static inline bool worker_is_serving(const struct worker *w)
{
	return w->state == WORKER_READY || w->state == WORKER_LEAVING;
}

static inline bool worker_was_ready(const struct worker *w)
{
	return w->ready_at != NSEC_NEVER;
}
