/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REAP_H
#define SUPERVISOR_REAP_H

#include "supervisor/common/state.h"

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
/* A worker has ended: did it go to the background?  What it left is being ended.
 * True: there is something, or there may be. */
bool reap_is_left(struct child *child, const struct ending *ending);
/* Tell the core of that end when nothing is left of the worker of that serial: a
 * slot gets no successor before. */
void reap_tell_later(
	struct service *service, struct event *event, uint64_t serial);
/* The logger has answered what the worker of that serial wrote last: it belongs to the
 * report of its end. */
void reap_last_output(struct supervisor *sup, uint64_t serial, const char *text,
	bool address_in_use);
/* Tell it now of all that wait. */
void reap_tell_all(struct supervisor *sup);
/* Signal every child that is neither worker nor role; how many there are. */
unsigned reap_signal_strays(struct supervisor *sup, int signal);

/* Was the last SIGKILL the kernel's OOM killer's? */
bool reap_was_out_of_memory(struct supervisor *sup);

#endif
