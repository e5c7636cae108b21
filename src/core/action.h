/* SPDX-License-Identifier: MIT */
#ifndef CORE_ACTION_H
#define CORE_ACTION_H

#include "core/event.h"

/*
 * Everything that the core can ask for or report, as data.  The list has a fixed
 * size: the core never asks for more at a time, and when there is more to do
 * cluster_next_deadline() is not later than now.
 */
enum action_kind {
	ACTION_SPAWN,   /* slot, worker, generation, settings; answered, before
			  any other event of this worker, by SPAWNED or
			  SPAWN_FAILED */
	ACTION_SIGNAL,  /* slot, worker, signal: to the process itself */
	ACTION_KILL,    /* slot, worker: SIGKILL to its whole process group */
	ACTION_DRAIN,   /* slot, worker, span: find a quiet moment for its stop
			  signal within that time, and answer by DRAINED.  It is
			  over at DRAINED, or when a SIGNAL or KILL for this
			  worker comes without one (too late, or stop --now) */
	ACTION_RELEASE, /* slot, worker: let it go on after EVENT_GATE */
	ACTION_REPORT,  /* report: something worth reporting */
	ACTION_ENDED,   /* status: nothing runs and nothing will; sent once */
};

enum report_kind {
	REPORT_STARTED,       /* slot, worker, pid, generation */
	REPORT_READY,         /* slot, worker; age */
	REPORT_EXITED,        /* slot, worker, ending, age, was_ready, asked,
				   why, wait (next try; NSEC_NEVER: none) */
	REPORT_DRAINING,      /* slot, worker, why, span */
	REPORT_STOPPING,      /* slot, worker: the first stop signal */
	REPORT_UNWELL,        /* slot, worker, why, age, wait: it is replaced
				   after that */
	REPORT_OUTGROWN,      /* slot, worker, why, age: it is replaced in turn */
	REPORT_BAKING,        /* rollout, count = canaries ready, span */
	REPORT_BAKED,         /* rollout: the others follow */
	REPORT_STOP_TIMEOUT,  /* slot, worker: the time of that step of the stop is over; signal is
				   what comes next */
	REPORT_UNKILLABLE,    /* slot, worker, pid: outlived SIGKILL */
	REPORT_START_TIMEOUT, /* slot, worker, age */
	REPORT_SLOT_ENDED,    /* slot: not started again (restart policy) */
	REPORT_ALL_READY,     /* all wanted workers ready (at each change from
				   "not all" to "all") */
	REPORT_SCALED,        /* count, scale_why, measure */
	REPORT_GAVE_UP,       /* count deaths in span */
	REPORT_ROLLOUT_STARTED,    /* rollout, generation, count = of */
	REPORT_ROLLOUT_STEP,       /* rollout, slot, count = done,
				   others = of */
	REPORT_ROLLOUT_DONE,       /* rollout, took; back: it has undone a failed
				   one */
	REPORT_ROLLOUT_FAILED,     /* rollout, slot (SLOT_ALL: none), worker,
				   ending, why, age, took (NSEC_NEVER: it was
				   not begun); count = its workers that
				   are ready, others = those of before; span:
				   time since it was reported as done (or
				   NSEC_NEVER), back: and is undone now */
	REPORT_ROLLOUT_SUPERSEDED, /* rollout: a newer one took its place */
	REPORT_STATE,              /* state: the cluster's state changed */
	REPORT_SURPRISE,           /* worker, an event that its state does not
				   expect: a bug, reported once each */
	REPORT_SPARE,              /* slot, worker, age: it is held back, as a spare */
	REPORT_RELEASED,           /* slot, worker: it was a spare, and serves now */
	REPORT_NO_SPARE,           /* slot, worker: it cannot be held back, so there are
			    no spares */
	REPORT_KINDS,
};

enum cluster_state {
	CLUSTER_STARTING,
	CLUSTER_RUNNING,
	CLUSTER_DEGRADED, /* was running; fewer are ready than wanted */
	CLUSTER_ROLLING,
	CLUSTER_STOPPING,
	CLUSTER_STOPPED,
	CLUSTER_FAILED, /* gave up, or could not be started at all */
};

struct report {
	enum report_kind kind;
	uint32_t slot;
	uint64_t worker;
	pid_t pid;
	unsigned generation;
	unsigned rollout;
	unsigned count;
	unsigned others;
	int signal;
	nsec_t age;       /* of the worker, since its start */
	nsec_t ready_for; /* since it was ready; NSEC_NEVER: never was */
	nsec_t wait;
	nsec_t span;
	nsec_t took; /* of a rollout, since it began */
	bool was_ready;
	bool back;
	bool beside; /* ROLLOUT_FAILED: an old worker serves in its slot */
	enum why why;
	enum cluster_state state;
	enum scale_why scale_why;
	unsigned measure; /* for it */
	struct ending ending;
};

struct action {
	enum action_kind kind;
	uint32_t slot;
	uint64_t worker;
	unsigned generation;
	int signal;
	int status;
	nsec_t span;
	struct cluster_settings *settings; /* borrowed, until the next event */
	struct report report;
};

#define ACTIONS_MAX 64

struct actions {
	struct action list[ACTIONS_MAX];
	unsigned count;
};

/*
 * Add an action, zeroed but for the arguments and for the times of a report,
 * which are NSEC_NEVER; the list must not be full.  Both pointers are valid until
 * the list is used again.
 */
struct action *actions_add(
	struct actions *out, enum action_kind kind, uint32_t slot, uint64_t worker);
struct report *actions_report(
	struct actions *out, enum report_kind kind, uint32_t slot, uint64_t worker);

#endif
