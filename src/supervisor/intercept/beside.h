/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BESIDE_H
#define SUPERVISOR_BESIDE_H

#include "supervisor/common/state.h"

/* The worker listens on one more port.  Logs ports that workers share although clients may want one
 * worker there: an inspector's port, a port that was opened late, and a port of a range from which
 * each worker would have taken another. */
void beside_look(struct child *child);

#endif
