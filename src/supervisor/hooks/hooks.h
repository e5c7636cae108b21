/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/job.h"
#include "supervisor/common/moment.h"
#include "supervisor/hooks/helper.h"

void hooks_on_report(struct service *service, const struct report *report);
void hooks_on_drop(struct service *service);
void hooks_on_go_on(struct supervisor *sup);
void hooks_on_shutdown(struct supervisor *sup);

/*
 * `on-EVENT`: commands that run when something happens to a cluster, with the
 * facts in their environment.  They never block nclust: of a cluster HOOKS_AT_ONCE run at a
 * time, HOOKS_QUEUED wait, more are counted and dropped; no cluster waits for another's.  A command that runs
 * for longer than HOOK_PATIENCE is killed with its group.  Each is a helper.
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

/* Must the end of that cluster (NULL: of the instance) wait for a hook? */
bool hooks_are_under_way(struct supervisor *sup, const struct service *service);

/* For carry_hooks.c: add one that waits or runs. */
void hooks_add(struct hooks *hooks, struct hook_run *run);
void hook_run_free(struct hook_run *run);
