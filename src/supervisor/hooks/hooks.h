/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOOKS_H
#define SUPERVISOR_HOOKS_H

#include "supervisor/common/part.h"
#include "supervisor/hooks/helper.h"

extern const struct part hooks_part;

/*
 * `on-EVENT`: commands that run when something happens to a cluster, with the
 * facts in their environment.  They never block nclust: HOOKS_AT_ONCE run at a
 * time, HOOKS_QUEUED wait, more are counted and dropped.  A command that runs
 * for longer than HOOK_PATIENCE is killed with its group.  Each is a helper
 * (helper.h).
 */
#define HOOKS_AT_ONCE 16
#define HOOKS_QUEUED 128
#define HOOK_PATIENCE (1 * MINUTE)

/* A hook that waits or runs. */
struct hook_run {
	struct hook_run *next;
	struct service *service; /* NULL: dropped while the command ran */
	struct supervisor *sup;
	struct cluster_settings *settings; /* a reference */
	enum hook_event event;
	struct buffer facts;
	struct helper *helper; /* NULL: it waits */
};

struct hooks {
	struct hook_run *head; /* commands that wait */
	struct hook_run **tail;
	struct hook_run *runs; /* commands that run */
	unsigned queued;
	unsigned running;
	unsigned long dropped;
	ev_timer start;
	ev_timer last_moment;
	bool over;
};

/* Must the end of that cluster (NULL: of the instance) wait for a hook? */
bool hooks_are_under_way(struct supervisor *sup, const struct service *service);

/* How all hooks, and one command, go through an upgrade. */
extern const struct carried carried_hooks;
extern const struct carried carried_hook;
/* For carry_hooks.c: the hooks, made on first use (NULL: out of memory); put a
 * carried command among those that run or wait. */
struct hooks *hooks_of(struct supervisor *sup);
void hooks_carried(struct hooks *hooks, struct hook_run *run);
void hook_run_free(struct hook_run *run);

#endif
