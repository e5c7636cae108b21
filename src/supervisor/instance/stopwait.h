/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STOPWAIT_H
#define SUPERVISOR_STOPWAIT_H

#include "supervisor/common/state.h"

/*
 * A stop that takes longer than a second reports what it waits for, how long that
 * may take and how to end it now: in the log, in the events, and to clients that
 * wait for the stop.  Then every ten seconds.
 */
void stopwait_begin(struct supervisor *sup); /* a stop was asked for */
void stopwait_end(struct supervisor *sup);

#endif
