/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_STATE_H
#define SUPERVISOR_HEALTH_STATE_H

/* Why a cluster's workers are asked, or looked at. */
enum asks_for {
	ASKS_PROBE,
	ASKS_STALL,
	ASKS_MEMORY,
	ASKS_COUNT,
	MONITORS,
};

/*
 * The health of a cluster: the monitors that look after its workers, and the results of its
 * check.  A member of struct service (common/state.h).
 */
struct asks {
	struct monitor *of[MONITORS]; /* internal.h; NULL: not needed yet */
	char check[96];               /* the check whose results these are, as text */
	unsigned passed;              /* latest generation of which a worker has passed the check */
	unsigned blamed; /* generation of which a worker was replaced before any had passed */
};

#endif
