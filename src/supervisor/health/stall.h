/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STALL_H
#define SUPERVISOR_STALL_H

#include "supervisor/common/state.h"

/*
 * `stall`: a ready worker has stalled if it has requests that it has not read
 * or not answered, and has made no progress for that time: no byte moved on any
 * connection, and it used no more CPU time than housekeeping takes.  nclust
 * looks from outside at all of its processes, four times in that time.  The
 * same timer looks for requests that hang (hang.h).
 */
void stall_begin(struct service *service); /* if a setting asks for it */
void stall_free(struct service *service);

#endif
