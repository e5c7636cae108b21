/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORDER_STATE_H
#define SUPERVISOR_ORDER_STATE_H

#include <stdbool.h>

/* What only this room knows of a cluster.  It is in struct service. */
struct step;

struct order {
	struct step *step; /* heap: `before` or `before-stop` runs; or NULL */
	bool waits_told;   /* that it waits for others */
};

#endif
