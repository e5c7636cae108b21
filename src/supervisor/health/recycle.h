/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECYCLE_H
#define SUPERVISOR_RECYCLE_H

#include "supervisor/common/state.h"

/* `max-memory`: a worker that uses more (workers/use.h) is replaced.  Its use
 * is measured every 5 s, and every second once it has reached half of the
 * limit. */
void recycle_begin(struct service *service); /* if a setting asks for it */
void recycle_free(struct service *service);

#endif
