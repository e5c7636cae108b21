/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LIMITS_STATE_H
#define SUPERVISOR_LIMITS_STATE_H

#include "base/nsec.h"

#include <stdbool.h>

/* What only this room knows of a worker in a cgroup: struct child points to it. */
struct limited {
	char *group;      /* heap: the name of its cgroup, "NAME/WORKER"; or NULL */
	unsigned grouped; /* 1: the worker is in its cgroup */
	bool incomplete;  /* some limit could not be set at its birth */
	/* as last seen (limits_on_dying()) */
	nsec_t looked_at;
	unsigned killed; /* processes killed for lack of memory */
	nsec_t killed_at;
	unsigned refused; /* forks refused */
	nsec_t refused_at;
};

#endif
