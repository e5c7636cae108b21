/* SPDX-License-Identifier: MIT */
#ifndef OS_SPAWN_TABLE_H
#define OS_SPAWN_TABLE_H

#include "os/spawn/spawn.h"

/*
 * The descriptors of a child to be.  Private to spawn.c.
 *
 * A supervisor of thousands of workers holds tens of thousands of descriptors; to
 * copy them all at clone and close them at exec would cost a millisecond and more
 * for each child.  So the child shares the table at first (CLONE_FILES), and then
 * takes a copy of its low numbers only (CLOSE_RANGE_UNSHARE).  Descriptors that
 * the child needs and that are not low are duplicated to a few reserved low
 * numbers meanwhile.  (Only with many descriptors, as valgrind does not know
 * those flags.)
 */
struct spawn_table {
	int from[SPAWN_FDS_MAX]; /* of the plan's fds */
	int null_fd;
	int exec_fd; /* or -1 */
	int report;
	int channel;          /* the child's end of plan->trap, or -1 */
	unsigned first_other; /* lowest number that the child does not need; 0: own table */
	unsigned lent;        /* a bit for each of the reserved numbers that the child has */
};

/* In the parent: before the clone, and after it.  `report` (-1: none) stays the
 * caller's.  The number of a descriptor that was just made shows how many are open. */
void spawn_table_note(int fd);
int spawn_table_lend(struct spawn_table *t, const struct spawn_plan *plan, int report);
void spawn_table_return(struct spawn_table *t);
/* clone(2) refuses CLONE_FILES here: do without. */
void spawn_table_unshared(struct spawn_table *t);

/* In the child: take a table of its own, with exactly the descriptors of the plan;
 * moves t->report, t->channel and t->exec_fd above the targets.  *bad: the number
 * that failed, or -1. */
int spawn_table_take(struct spawn_table *t, const struct spawn_plan *plan, int *bad);

#endif
