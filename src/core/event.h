/* SPDX-License-Identifier: MIT */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "base/nsec.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Everything that can happen to a cluster, as data.  Every event from outside
 * about a worker carries slot and worker id; a late one finds nobody and is
 * harmless.
 */

/* Why a life ended. */
enum ending_kind {
	ENDING_NONE,
	ENDING_EXIT,   /* code: exit status */
	ENDING_SIGNAL, /* code: signal */
	ENDING_SPAWN,  /* it never began: step, code = errno */
};

struct ending {
	enum ending_kind kind;
	int code;
	int step;        /* ENDING_SPAWN: enum spawn_step of os/spawn.h,
				   carried, not understood, by the core */
	bool permanent;  /* ENDING_SPAWN: trying again is of no use */
	int exit_status; /* ENDING_SPAWN, permanent: 126 or 127 */
	bool core_dumped;
	bool out_of_memory; /* SIGKILL by the kernel's OOM killer */
};

enum event_kind {
	EVENT_TICK,         /* time has passed; also the first event of all */
	EVENT_SPAWNED,      /* slot, worker, pid */
	EVENT_SPAWN_FAILED, /* slot, worker, ending */
	EVENT_READY,        /* slot, worker: READY=1 */
	EVENT_LISTENING,    /* slot, worker: it was seen to listen */
	EVENT_LEAVING,      /* slot, worker: STOPPING=1 */
	EVENT_EXTEND,       /* slot, worker, span: EXTEND_TIMEOUT_USEC */
	EVENT_EXITED,       /* slot, worker, ending */
	EVENT_STOP,         /* stop the cluster; `at_once`: KILL now */
	EVENT_SCALE,        /* count; memory must be there: cluster_reserve() */
	EVENT_ROLL,         /* replace all workers, or only `slot` unless
			       SLOT_ALL, by a new generation made from
			       `settings` (its reference is handed over; NULL:
			       the settings in force) */
	EVENT_SETTINGS,     /* new settings without a roll; reference handed
			       over */
	EVENT_LATE,         /* nclust itself stood still for `span` (SIGSTOP,
			       a stalled machine): grant it to the waiting */
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
	bool at_once;
	bool command_changed; /* ROLL, SETTINGS: forget what was learned */
	struct ending ending;
	struct cluster_settings *settings;
};

#endif
