/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "config/settings.h"
#include "core/autoscale.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Everything that can happen to a cluster, as data.  Every event from outside
 * about a worker carries slot and worker id; a late event finds no such worker
 * and is harmless.
 */

/* An enum of one byte, as each slot has some of them. */
#define SMALL __attribute__((packed))

/* Why a life ended. */
enum SMALL ending_kind {
	ENDING_NONE,
	ENDING_EXIT,    /* code: exit status */
	ENDING_SIGNAL,  /* code: signal */
	ENDING_SPAWN,   /* the worker never began: step, code = errno */
	ENDING_UNKNOWN, /* another process's child: the kernel does not tell */
};

struct ending {
	enum ending_kind kind;
	bool permanent; /* ENDING_SPAWN: another try is of no use */
	bool done;      /* ENDING_EXIT: its work: it opened no port and left no process */
	bool core_dumped;
	bool out_of_memory; /* SIGKILL by the kernel's OOM killer */
	int code;
	int step;        /* ENDING_SPAWN: enum spawn_step of os/spawn/spawn.h,
				   carried, not understood, by the core */
	int exit_status; /* ENDING_SPAWN, permanent: 126 or 127 */
};

/* Why nclust ended a worker, or why a rollout failed.  WHY_ITSELF is also "for no reason": of
 * a generation that is not rejected, a worker that is fit, a `before` that is done. */
enum SMALL why {
	WHY_ITSELF,        /* the worker ended by itself */
	WHY_STOP,          /* the cluster stops or shrinks */
	WHY_ROLL,          /* replaced */
	WHY_START_TIMEOUT, /* not ready in time */
	WHY_ROLL_FAILED,   /* removed, as the rollout failed */
	WHY_WATCHDOG,      /* no WATCHDOG=1 in time */
	WHY_STALL,         /* the worker made no progress */
	WHY_CHECK,         /* its checks failed */
	WHY_MEMORY,        /* max-memory */
	WHY_AGE,           /* max-age */
	WHY_QUEUE,         /* reserved: older versions carried it on */
	WHY_REQUEST,       /* the worker owes an answer: request-timeout */
	WHY_BEFORE,        /* of a rollout: its `before` has failed */
	WHY_SERVED,        /* max-requests */
	WHY_SOCKET,        /* the worker's socket is no listener's any more */
};

enum event_kind {
	EVENT_TICK,         /* time has passed; also the first event of all.  `count`:
			       spawns at most, if it is not 0 */
	EVENT_SPAWNED,      /* slot, worker, pid; `opens`: its listen(2) would be
			       seen */
	EVENT_SPAWN_FAILED, /* slot, worker, ending */
	EVENT_READY,        /* slot, worker: READY=1 */
	EVENT_LISTENING,    /* slot, worker: it was seen to listen */
	EVENT_REFUSED,      /* slot, worker: its bind(2) was refused, or it only bound */
	EVENT_IDLE,         /* slot, worker: it is about to open no port; `opens`: it has a unix
			       path of its own, or serves by a socket that it was passed */
	EVENT_PROVED,       /* slot, worker: its ready_probe has succeeded */
	EVENT_LEAVING,      /* slot, worker: STOPPING=1 */
	EVENT_EXTEND,       /* slot, worker, span: EXTEND_TIMEOUT_USEC */
	EVENT_ALIVE,        /* slot, worker: WATCHDOG=1 */
	EVENT_WATCHDOG,     /* slot, worker, span: WATCHDOG_USEC=; by its own
			       wish another one is expected of it */
	EVENT_UNWELL,       /* slot, worker, why: WHY_WATCHDOG (it said
			       WATCHDOG=trigger), WHY_STALL, WHY_CHECK,
			       WHY_REQUEST */
	EVENT_OUTGROWN,     /* slot, worker, why: WHY_MEMORY, WHY_SERVED,
			       WHY_SOCKET: replace it, when its turn comes */
	EVENT_DRAINED,      /* slot, worker: answer to ACTION_DRAIN: now is the
			       moment for the stop signal */
	EVENT_BUSY,         /* slot, worker: `held`: it is answering, and would
			       take time to drain: a rollout comes to the others
			       first */
	EVENT_LEFTOVERS,    /* slot, worker: its main process has ended, and has
			       left others, which get the stop signal */
	EVENT_EXITED,       /* slot, worker, ending: no process of it is left */
	EVENT_STOP,         /* stop the cluster; `at_once`: KILL now */
	EVENT_SCALE,        /* scale; memory must be there: cluster_reserve() */
	EVENT_ROLL,         /* replace all workers, or only `slot` unless
			       SLOT_ALL, by a new generation made from
			       `settings` (its reference is handed over; NULL:
			       the settings in force).  `has_canary`: `count`
			       in place of canary, `has_bake`: `span` in place
			       of bake */
	EVENT_PREPARED,     /* the command `before` the rollout `count` (0: the
			       first start) has ended; `why`: WHY_BEFORE: it
			       has failed */
	EVENT_SETTINGS,     /* new settings without a roll; reference handed
			       over */
	EVENT_ALONE,        /* `held`: the cluster's worker must have no other beside
			       it: it has no port, or keeps its state in itself.  Told
			       before what may have it replaced; for one worker alone
			       (rollout_pace()) */
	EVENT_LATE,         /* nclust itself stood still for `span` (SIGSTOP,
			       a stalled machine): grant it to the waiting */
	EVENT_GATE,         /* slot, worker: it waits in a call of its own,
			       ready but for that, until ACTION_RELEASE */
};

#define SLOT_ALL UINT32_MAX

struct event {
	enum event_kind kind;
	nsec_t now;
	uint32_t slot;
	uint64_t worker;
	pid_t pid;
	nsec_t span;
	unsigned count;
	struct scale_step scale;
	bool at_once;
	bool held;        /* BUSY, ALONE */
	bool opens;       /* SPAWNED, IDLE */
	bool has_canary;  /* ROLL */
	bool has_bake;    /* ROLL */
	bool drops_ports; /* ROLL: new workers may listen on fewer addresses */
	enum why why;
	bool command_changed; /* ROLL, SETTINGS: forget what was learned */
	struct ending ending;
	struct cluster_settings *settings;
};

/* ---- action ---- */

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
};

enum report_kind {
	REPORT_STARTED,       /* slot, worker, pid, generation */
	REPORT_READY,         /* slot, worker; age */
	REPORT_EXITED,        /* slot, worker, ending, age, was_ready, asked,
				   why, wait (next try; NSEC_NEVER: none),
				   early */
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
	REPORT_ENDED,              /* nothing runs and nothing will; sent once */
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
	bool beside;   /* ROLLOUT_FAILED: an old worker serves in its slot */
	uint8_t early; /* of the slot (slot.h) */
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
