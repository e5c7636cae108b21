/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STOP_REPORT_H
#define SUPERVISOR_STOP_REPORT_H

#include "supervisor/common/state.h"

/*
 * A stop that takes longer than a second reports what it waits for, how long that
 * may take and how to end it now: in the log, in the events, and to clients that
 * wait for the stop.  Then every ten seconds.
 */
void stop_report_begin(struct supervisor *sup); /* a stop was asked for */
void stop_report_end(struct supervisor *sup);

#endif
