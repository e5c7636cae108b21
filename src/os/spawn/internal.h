/* SPDX-License-Identifier: MIT */
#ifndef OS_SPAWN_INTERNAL_H
#define OS_SPAWN_INTERNAL_H

#include "os/spawn/spawn.h"

/* ---- spawn table ---- */

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

/* In the child: take a table of its own, with exactly the descriptors of the plan;
 * moves t->report, t->channel and t->exec_fd above the targets.  *bad: the number
 * that failed, or -1. */
int spawn_table_take(struct spawn_table *t, const struct spawn_plan *plan, int *bad);

/* ---- spawn child ---- */

/*
 * The child's half of spawn(): what runs between clone and exec, on the parent's
 * memory while the parent waits, or starts others (spawn_many()).  All share one
 * errno: the calls that often fail, execve(2) and seccomp(2), leave it alone.  Another
 * error number can be another child's; the next try tells the right one, as it is made alone.
 * Async-signal-safe calls only; calls that glibc would spread over threads
 * (setresuid and its like) go to the kernel directly.  Private to spawn.c.
 */
struct spawn_child {
	const struct spawn_plan *plan;
	struct spawn_table table; /* its `report`, if there is one, takes the failure too */
	bool scored_later;        /* spawn() sets the oom_score_adj */
	unsigned nth;             /* index among children that are started at once */
	pid_t parent;             /* getpid() of the parent, to see whether it has died */
	/* Written by the child.  The parent sees it only where clone(2) gave both
	 * one memory. */
	bool failed;
	volatile enum spawn_step at; /* the latest step that may wait for ever */
	struct spawn_failure failure;
};

/* The message that the child sends with the notify descriptor of its trap. */
struct spawn_trapped {
	int error;
	unsigned nth;
};

/* A system call that leaves the shared errno alone: its result, or a negated error number. */
int spawn_call(long number, long a, long b, long c);
/* Can several children run at once, because spawn_call() does so here? */
extern const bool spawn_overlaps;
/* The function for clone(2); `argument` is a struct spawn_child. */
int spawn_child_run(void *argument);

/* Write the text to the process's oom_score_adj.  -1 and errno. */
int spawn_oom_score(pid_t pid, const char *text);

/* Note the step, errno, and `what` it failed at.  Returns -1. */
int spawn_fail(struct spawn_failure *f, enum spawn_step step, const char *what);

#endif
