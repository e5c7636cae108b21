/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_WORKERS_STATE_H
#define SUPERVISOR_WORKERS_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * What this room alone knows: these structs are in those of common/state.h.
 */
struct remains;

/* Of processes that are no workers (reap.h). */
struct reaper {
	ev_timer sweep; /* orphans and strays */
	bool sweep_due;
	nsec_t last_sweep;
	struct remains *remains; /* dead workers, of which something may live */
	ev_timer look;           /* for it, again */
	nsec_t look_took;
	nsec_t daemon_told_at;
	int oom_fd;            /* where the kernel counts those it has killed */
	long oom_kills;        /* seen so far; -1: cannot be told */
	pid_t *first_children; /* that we had before we began: not ours */
	size_t first_children_count;
};

/* Of the one that writes the workers' output (roles.h). */
struct logger {
	ev_io watcher; /* its fd: the channel, or -1 */
	pid_t pid;
	bool taken;  /* it writes still where an earlier one did */
	bool copies; /* it knows LOGWIRE_COPY */
	int pidfd;
	ev_io exit;
	ev_timer restart;
	nsec_t started;
};

#endif
