/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORDER_H
#define SUPERVISOR_ORDER_H

#include "supervisor/common/part.h"
#include "supervisor/hooks/hooks.h"

/*
 * The order of starts and stops: a cluster starts when the clusters in its
 * `after` are ready, and when its command `before` has succeeded; it stops before
 * those, and when its command `before-stop` has ended.  While it waits,
 * stage.held or stage.stop_held is set, and the core gets no time.  All clusters
 * are looked at once a turn, so that no event is missed.
 */
extern const struct part order_part;

/* Once a turn: start and stop clusters that have waited long enough. */
void order_look(struct supervisor *sup);

/* ---- before ---- */

/*
 * A command that a cluster waits for: `before` its start or a rollout, `before-stop` its
 * stop.  It is a helper (hooks/hooks.h); its output goes where that of the workers goes,
 * as if slot 0 had written it, and the logger reads it, so that a flood costs nclust
 * nothing.  A cluster has one of them at a time; several clusters may share one.
 */

/* The command has ended; `how` is NULL, or says why that is a failure, and `serial`
 * names its last output (news_expect()), or 0. */
typedef void before_over(struct service *service, const char *how, uint64_t serial);

#endif
