/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEADER_STATE_H
#define SUPERVISOR_LEADER_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a cluster with `leader = yes`.  It is in struct service. */
struct leadership {
	int fd;          /* of the file that is locked; -1: not made yet */
	uint64_t serial; /* of the worker that was told to lead; 0: none was */
	bool blocked;    /* by our own lock: a worker of an earlier nclust may
			    lead by another file, which is not known */
	uint64_t held;   /* by the keeper */
	nsec_t refused;  /* since when nobody can lead; 0: no; -1: it was said */
};

/* Of a worker.  It is in struct child. */
struct leading {
	int fd; /* the description that it has, too; -1: it has none */
};

/* Of the instance.  It is in struct supervisor. */
struct leaders {
	ev_timer choose; /* there is no leader: choose one */
};

#endif
