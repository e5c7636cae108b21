/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORDER_STATE_H
#define SUPERVISOR_ORDER_STATE_H

#include <stdbool.h>

/* What only this room knows of a cluster.  It is in struct service. */
struct step;

/* What a cluster waits for. */
enum step_kind { STEP_START, STEP_ROLLOUT, STEP_STOP };

struct order {
	struct step *step; /* `before` or `before-stop` runs; or NULL */
	enum step_kind kind;
	bool waits_told; /* it was reported that it waits for others */
};

#endif
