/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STEP_H
#define SUPERVISOR_STEP_H

#include "supervisor/hooks/helper.h"

/*
 * A command that a cluster waits for: `before` its start or a rollout, `before-stop` its
 * stop.  It is a helper (hooks/helper.h); its output goes where that of the workers goes,
 * as if slot 0 had written it, and the logger reads it, so that a flood costs nclust
 * nothing.  A cluster has one step at a time; several clusters may share one.
 */

/* The step has ended; `how` is NULL, or says why that is a failure, and `serial`
 * names its last output (news_expect()), or 0. */
typedef void step_over(struct service *service, const char *how, uint64_t serial);

/* Start a step, for workers of that generation.  -1 and `err`. */
int step_begin(struct service *service, enum step_kind kind, unsigned generation,
	const struct cluster_settings *settings, step_over *over, struct error *err);
/* Let the cluster wait for the step of another one. */
void step_share(struct service *service, enum step_kind kind, const struct service *of);
/* Kill the cluster's step, but not one that another cluster began; `over` is not called. */
void step_forget(struct service *service);
/* A new logger is to get the output of steps. */
void step_on_logger_up(struct supervisor *sup);
/* Does a step of that kind run? */
bool step_runs(const struct service *service, enum step_kind kind);

#endif
