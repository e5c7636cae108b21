/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BESIDE_H
#define SUPERVISOR_BESIDE_H

#include "supervisor/common/state.h"

/* The worker listens on one more port: log those that workers share although each is
 * asked for itself there: an inspector's, and one of a range of which each worker
 * would have taken another. */
void beside_look(struct child *child);

#endif
