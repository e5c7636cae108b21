/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * `watch`: a rolling restart of a cluster when files change.  A process of its own
 * for each such cluster watches them (os/watchtree.h), because a look at a
 * directory may hang.  The newest change wins: it takes the place of a rollout that
 * an earlier one began, and waits for the end of any other.
 */

/* The clusters are there: watch for those that ask for it. */
void watch_begin(struct supervisor *sup);
/* Does a change wait for the end of a rollout that it has not begun? */
bool watch_is_due(const struct service *service);

void watch_on_report(struct service *service, const struct report *report);
void watch_on_reloaded(struct service *service);
void watch_on_drop(struct service *service);
void watch_on_shutdown(struct supervisor *sup);
void watch_on_verb(struct supervisor *sup, const struct verb_step *verb);
