/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* Strays: children of nclust that are no workers and no jobs.  (The end of a worker begins in
 * child_main_exited().)  nclust is a subreaper (or PID 1), so processes whose parents end become
 * its children.  nclust reaps strays that exit, and ends processes that a dead worker has left. */
int strays_init(struct supervisor *sup, struct error *err);
/* After an upgrade: look for children that have exited during it. */
void strays_resume(struct supervisor *sup);
void strays_fini(struct supervisor *sup);

/* SIGCHLD came for `pid`; the kernel may have merged SIGCHLDs for other children into it. */
void strays_on_sigchld(struct supervisor *sup, pid_t pid);

/* The main process of the worker was reaped: are there certainly no leftovers? */
bool strays_none_of(struct child *child);
/* Count the worker's leftovers; 1 also if the last walk over all children was just now.
 * child_all_exited() follows when a later walk finds none. */
unsigned strays_count_of(struct child *child);
/* Reap strays, and look for shells at half of their time, within that time. */
void strays_sweep_within(struct supervisor *sup, nsec_t wait);
/* Walk over all children again soon, with a small part of nclust's time. */
void strays_look_soon(struct supervisor *sup);
/* Workers whose main process has ended count as ended, even if leftovers live. */
void strays_end_workers(struct supervisor *sup);
/* Is the process one of a daemon's (intercept.h), and has the cluster not ended? */
bool service_has_daemon(const struct service *service, pid_t pid);
/* Signal all strays; returns their number.  0: there are no strays, and no children of strays. */
unsigned strays_signal(struct supervisor *sup, int signal);
/* SIGKILL all strays and what they fork, for a bounded time; returns how many are left. */
unsigned strays_kill(struct supervisor *sup);
/* Put the pids of at most `most` strays into `to`; returns their number. */
size_t strays_list(struct supervisor *sup, pid_t *to, size_t most);

/* Did the last SIGKILL come from the kernel's OOM killer? */
bool strays_saw_oom_kill(struct supervisor *sup);
