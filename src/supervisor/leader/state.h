/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a cluster with `leader = yes`.  It is in struct service. */
struct leadership {
	int fd;          /* of the file that is locked; -1: not made yet */
	uint64_t serial; /* of the worker that was told to lead; 0: none was */
	/* nclust itself has the lock, because a worker of an earlier nclust may lead by another file. */
	bool blocked;
	uint64_t keeper_id; /* its id, if the keeper holds it; or 0 */
	nsec_t refused;     /* since when no worker can lead; 0: one can; -1: that was reported */
};

/* Of a worker.  It is in struct child. */
struct leading {
	int fd; /* a duplicate of its descriptor of the file; -1: nclust has none */
};

/* Of the instance.  It is in struct supervisor. */
struct leaders {
	ev_timer choose; /* there is no leader: choose one */
};
