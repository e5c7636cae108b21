/* SPDX-License-Identifier: MIT */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

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
	bool core_dumped;
	bool out_of_memory; /* SIGKILL by the kernel's OOM killer */
	int code;
	int step;        /* ENDING_SPAWN: enum spawn_step of os/spawn/spawn.h,
				   carried, not understood, by the core */
	int exit_status; /* ENDING_SPAWN, permanent: 126 or 127 */
};

/* Why nclust ended a worker, if it did. */
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
	EVENT_SPAWNED,      /* slot, worker, pid; `opens`: it was passed no
			       socket, and its listen(2) would be seen */
	EVENT_SPAWN_FAILED, /* slot, worker, ending */
	EVENT_READY,        /* slot, worker: READY=1 */
	EVENT_LISTENING,    /* slot, worker: it was seen to listen */
	EVENT_REFUSED,      /* slot, worker: its bind(2) was refused */
	EVENT_IDLE,         /* slot, worker: it does nothing; `held`: it listens
			       on a path that may be its own alone */
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
	EVENT_GRACEFUL,     /* slot, worker: it answered what was in flight
			       after its stop signal */
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
	EVENT_LATE,         /* nclust itself stood still for `span` (SIGSTOP,
			       a stalled machine): grant it to the waiting */
	EVENT_GATE,         /* slot, worker: it waits in a call of its own,
			       ready but for that, until ACTION_RELEASE */
	EVENT_HOLD,         /* `held`: a process that is in no slot is at work,
			       and a stop is not over before it has ended */
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
	bool held;        /* HOLD, BUSY, IDLE */
	bool opens;       /* SPAWNED */
	bool has_canary;  /* ROLL */
	bool has_bake;    /* ROLL */
	bool drops_ports; /* ROLL: new workers may listen on fewer addresses */
	enum why why;
	bool command_changed; /* ROLL, SETTINGS: forget what was learned */
	struct ending ending;
	struct cluster_settings *settings;
};

#endif
