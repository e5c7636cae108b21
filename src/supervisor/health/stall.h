/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STALL_H
#define SUPERVISOR_STALL_H

#include "supervisor/common/state.h"

/*
 * `stall`: a ready worker to whom requests have come that it has not read or not
 * answered, and of whom nothing has moved for that time: no byte of any of its
 * connections, and no more time of the CPU than housekeeping takes.  Looked at
 * from outside, four times in that time, with all of its processes.  The same
 * timer looks for requests that hang (hang.h).
 */
void stall_begin(struct service *service); /* somebody may have to be */
void stall_free(struct service *service);

#endif
