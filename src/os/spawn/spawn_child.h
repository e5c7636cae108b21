/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/spawn/spawn.h"

/*
 * The child's half of spawn(): what runs between clone and exec, on the parent's
 * memory while the parent waits.  Async-signal-safe calls only; calls that glibc would
 * spread over threads (setresuid and its like) go to the kernel directly.  Private to spawn.c.
 */
struct spawn_child {
	const struct spawn_plan *plan;
	bool scored_later; /* spawn() sets the oom_score_adj */
	bool lent;         /* it shares our descriptors, and gets its own by the channel */
	pid_t parent;      /* getpid() of the parent, to see whether it has died */
	/* Written by the child.  The parent does not see it where a child is a fork (under valgrind):
	 * there one that has failed exits with 126. */
	bool failed;
	volatile enum spawn_step at; /* the latest step that may wait for ever */
	struct spawn_failure failure;
};

/* The function for clone(2); `argument` is a struct spawn_child. */
int spawn_child_run(void *argument);

/* Write the text to the process's oom_score_adj.  -1 and errno. */
int spawn_oom_score(pid_t pid, const char *text);

/* Note the step, errno, and `what` it failed at.  Returns -1. */
int spawn_fail(struct spawn_failure *f, enum spawn_step step, const char *what);
