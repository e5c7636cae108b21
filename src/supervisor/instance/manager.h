/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * nclust under a service manager: sd_notify(3), with nclust's own NOTIFY_SOCKET and
 * WATCHDOG_USEC, which no worker ever sees.  Without these variables nothing is sent.
 */
int manager_init(struct supervisor *sup, struct error *err);
/* How what the manager was told goes through an upgrade. */
extern const struct carried carried_manager;
void instance_on_go_on(struct supervisor *sup);
void instance_on_shutdown(struct supervisor *sup);
void manager_ready(struct supervisor *sup);
void manager_reloading(struct supervisor *sup); /* READY=1 ends it */
void manager_stopping(struct supervisor *sup);
/* "web: 2 of 2 ready" has changed: send it soon, at most ten times a second. */
void manager_status(struct supervisor *sup);
