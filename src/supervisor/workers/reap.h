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
/* Exit 0 without being asked: a daemon that went to the background? */
bool reap_may_be_daemon(const struct child *child, const struct ending *ending);
/* A worker has ended: end the processes that it has left, such as a daemon.
 * True: there are some, or there may be. */
bool reap_is_left(struct child *child, const struct ending *ending);
/* Give the core this event when all processes of that worker are gone; until
 * then its slot gets no successor. */
void reap_tell_later(
	struct service *service, struct event *event, uint64_t serial);
/* The logger has sent the last output of that worker: add it to the report of
 * its end. */
void reap_last_output(struct supervisor *sup, uint64_t serial, const char *text,
	bool address_in_use);
/* Give the core all events that wait, now. */
void reap_tell_all(struct supervisor *sup);
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
