/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

void instance_on_report(struct service *service, const struct report *report);

/* The instance as a whole: when it counts as started, how it stops, with what
 * status it ends. */

/* Stop everything; `at_once` kills, also during a stop.  Any other further call does nothing. */
void lifecycle_stop(struct supervisor *sup, bool at_once);
/* The start has failed: report why, also to the process that waits for -d; stop, and
 * exit with `status`. */
void lifecycle_fail(struct supervisor *sup, int status, const char *why);

/* Called in each turn of the loop: is the instance over, or ready? */
void lifecycle_look(struct supervisor *sup);

/* ---- stop report ---- */

/*
 * A stop that takes longer than a second reports what it waits for, how long that
 * may take and how to end it now: in the log, in the events, and to clients that
 * wait for the stop.  Then every ten seconds.
 */
void stop_report_begin(struct supervisor *sup); /* a stop was asked for */
