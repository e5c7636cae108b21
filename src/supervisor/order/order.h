/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * The order of starts and stops: a cluster starts when the clusters in its
 * `after` are ready, and when its command `before` has succeeded; it stops before
 * those, and when its command `before-stop` has ended.  One that a reload has removed serves until
 * those that get its addresses are ready, or have failed.  While it waits,
 * stage.waits or stage.stop_waits is set, and the core gets no time.  All clusters
 * are looked at once a turn, so that no event is missed.
 */
void order_on_adopted(struct service *service);
bool order_on_stopping(struct service *service, bool at_once);
void order_on_report(struct service *service, const struct report *report);
void order_on_status(struct json_writer *w, const struct service *service);
void order_forget(struct service *service);
void order_on_shutdown(struct supervisor *sup);
void order_on_logger(struct supervisor *sup, enum logger_step step);

/* Once a turn: start and stop clusters that have waited long enough. */
void order_look(struct supervisor *sup);

/* Does the cluster wait for one that has ended, so that it cannot start by itself?  Then `why` says
 * so. */
bool order_is_lost(const struct service *s, char *why, size_t size);
