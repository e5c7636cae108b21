/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REAP_H
#define SUPERVISOR_REAP_H

#include "supervisor/common/state.h"

/*
 * Strays: child processes that are no workers.  nclust is a subreaper (or PID
 * 1), so what daemonises below it becomes its child.  Strays that exit are
 * reaped, a bounded number a turn; processes that a dead worker has left are
 * ended.
 */
int reap_init(struct supervisor *sup, struct error *err);
/* After an upgrade: look for children that have exited meanwhile. */
void reap_resume(struct supervisor *sup);
void reap_fini(struct supervisor *sup);

/* SIGCHLD came from `pid`; those of other children may have been merged into
 * it. */
void reap_on_sigchld(struct supervisor *sup, pid_t pid);
/* The main process of the worker was reaped: is nothing left of it?  In doubt, no:
 * then leftovers.h. */
bool reap_is_over(struct child *child);
/* Look for what it has left: how many processes; 1: at least that, it takes a while.
 * child_over() follows when a later look finds none. */
unsigned reap_count_left(struct child *child);
/* Look again, but let looks take little of the time. */
void reap_look_soon(struct supervisor *sup);
/* The logger has sent the last output of that worker: add it to the report of
 * its end. */
void reap_last_output(
	struct supervisor *sup, uint64_t serial, const char *text, bool address_in_use);
/* End the workers whose main process has ended, though others may live. */
void reap_end_all(struct supervisor *sup);
/* Signal every child that is neither worker nor role; returns their number.  0: they
 * have left no other. */
unsigned reap_signal_strays(struct supervisor *sup, int signal);
/* Kill them, and what they fork meanwhile, for a moment; how many are left. */
unsigned reap_kill_strays(struct supervisor *sup);
/* The pids of up to `most` of them; returns how many. */
size_t reap_list_strays(struct supervisor *sup, pid_t *to, size_t most);

/* Was the last SIGKILL the kernel's OOM killer's? */
bool reap_was_out_of_memory(struct supervisor *sup);

#endif
