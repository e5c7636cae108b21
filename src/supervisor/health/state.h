/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_STATE_H
#define SUPERVISOR_HEALTH_STATE_H

#include <stdbool.h>

/* What a cluster's workers are asked, or looked at, for. */
enum asks_for {
	ASKS_READY,
	ASKS_CHECK,
	ASKS_WARM, /* a spare */
	ASKS_STALL,
	ASKS_MEMORY,
	ASKS_REACH, /* somebody else asks it (reach.h) */
	ASKS_COUNT,
	ASKERS,
};

/*
 * What only this room knows of a cluster: the askers that look after its
 * workers.  It is a member of struct service (common/state.h).
 */
struct asks {
	struct asker *of[ASKERS]; /* asker.h; NULL: not needed yet */
	bool denied_told;         /* reported: no check can be made */
	bool refused_told;        /* reported: no stall can be seen */
	bool uncounted_told;      /* reported: connections are not counted */
	char check[96];           /* what is asked: this one … */
	unsigned passed;          /* … a worker of that generation has passed, … */
	unsigned blamed;          /* … and none had when one of that was replaced */
};

#endif
