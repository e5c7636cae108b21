/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECYCLE_H
#define SUPERVISOR_RECYCLE_H

#include "supervisor/common/state.h"

/*
 * `max-memory`: a worker that takes more (workers/use.h) is replaced.  Looked at
 * every 5 s, and every second once it is half way there.
 */
void recycle_begin(struct service *service); /* somebody may have to be */
void recycle_free(struct service *service);

#endif
