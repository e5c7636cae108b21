/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REAP_H
#define SUPERVISOR_REAP_H

#include "supervisor/state.h"

/*
 * Processes that are ours without being workers: nclust is a subreaper (or PID
 * 1), so what daemonises below it becomes its child.  The dead are reaped, a
 * bounded number a turn; what a dead worker left behind is ended.
 */
int reap_init(struct supervisor *sup, struct error *err);
/* Carried: whoever has ended meanwhile is looked for. */
void reap_resume(struct supervisor *sup);
void reap_fini(struct supervisor *sup);

/* SIGCHLD came; `pid` is whose (others may have been merged into it). */
void reap_on_sigchld(struct supervisor *sup, pid_t pid);
/* A worker has ended: did it go to the background?  What it left is ended. */
void reap_look_for_strays(struct supervisor *sup, const struct child *child,
	const struct ending *ending);
/* Signal every child that is neither worker nor role; how many there are. */
unsigned reap_signal_strays(struct supervisor *sup, int signal);

/* Was the last SIGKILL the kernel's OOM killer's? */
bool reap_was_out_of_memory(struct supervisor *sup);

#endif
