/* SPDX-License-Identifier: MIT */
#ifndef OS_SPAWN_TABLE_H
#define OS_SPAWN_TABLE_H

#include "os/spawn/spawn.h"

/* The descriptors of a child to be.  Private to spawn.c. */
struct spawn_table {
	int from[SPAWN_FDS_MAX]; /* of the plan's fds */
	int exec_fd;             /* or -1 */
	int report;
	int channel; /* of plan->trap: the child's end, or -1 */
};

/* In the parent, before the clone.  `report` (-1: none) stays the caller's.  -1 and
 * errno. */
int spawn_table_fill(
	struct spawn_table *t, const struct spawn_plan *plan, int report);

/* In the child: exactly what the plan says is there afterwards;
 * moves t->report, t->channel and t->exec_fd out of the way.  *bad: the number that
 * failed, or -1. */
int spawn_table_take(
	struct spawn_table *t, const struct spawn_plan *plan, int *bad);

#endif
