/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_STATE_H
#define SUPERVISOR_HEALTH_STATE_H

#include <stdbool.h>

/* What a cluster's workers are asked, or looked at, for. */
enum asks_for { ASKS_READY, ASKS_CHECK, ASKS_STALL, ASKS_MEMORY, ASKERS };

/*
 * What this room alone knows of a cluster: who looks after its workers.  It is in
 * the struct of common/state.h.
 */
struct asks {
	struct asker *of[ASKERS]; /* asker.h; NULL: not needed yet */
	bool denied_told;         /* that no check can be made */
	bool refused_told;        /* that no stall can be seen */
};

#endif
