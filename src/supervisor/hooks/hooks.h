/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOOKS_H
#define SUPERVISOR_HOOKS_H

#include "supervisor/common/part.h"
#include "supervisor/hooks/helper.h"

extern const struct part hooks_part;

/*
 * `on-EVENT`: commands that are run when something happens to a cluster, with
 * the facts in their environment.  They never hold nclust up: they wait in a
 * queue of HOOKS_QUEUED for one of HOOKS_AT_ONCE places, what does not fit is
 * counted and dropped, and one that runs for longer than HOOK_PATIENCE is killed
 * with its group.  Each runs as the workers of its cluster do (helper.h).
 */
#define HOOKS_AT_ONCE 16
#define HOOKS_QUEUED 128
#define HOOK_PATIENCE (1 * MINUTE)

/* One command on its way. */
struct hook_run {
	struct hook_run *next;
	struct service *service; /* NULL: it is gone, while this ran */
	struct supervisor *sup;
	struct cluster_settings *settings; /* a reference */
	enum hook_event event;
	struct buffer facts;
	struct helper *helper; /* NULL: it waits */
};

struct hooks {
	struct hook_run *head; /* those that wait */
	struct hook_run **tail;
	struct hook_run *runs; /* those that run */
	unsigned queued;
	unsigned running;
	unsigned long dropped;
	ev_timer start;
	ev_timer last_moment;
	bool over;
};

/* How they go through an upgrade, and one of them. */
extern const struct carried carried_hooks;
extern const struct carried carried_hook;
/* For carry_hooks.c: there is room for them; one that was carried takes its
 * place, as its `helper` says.  NULL: out of memory. */
struct hooks *hooks_of(struct supervisor *sup);
void hooks_carried(struct hooks *hooks, struct hook_run *run);
void hook_run_free(struct hook_run *run);

#endif
