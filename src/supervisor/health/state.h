/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>

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

/* Since when nothing has moved on a worker's connections (stall.c). */
struct unmoved {
	nsec_t since;       /* 0: something has, or it is not known */
	nsec_t looked;      /* when it was looked at last */
	nsec_t cpu;         /* its CPU time at `since` */
	struct mark *marks; /* heap: its connections then, sorted */
	size_t count;
};

/* The health of a worker, as nclust observes it: probes and checks (check.c), stalls (stall.c),
 * memory (recycle.c).  A worker whose settings need nothing of this has no struct health, and its
 * cluster no timer. */
struct health {
	bool proving;      /* the `ready` probe has not succeeded yet */
	nsec_t tried_at;   /* exec: when its command was started last */
	unsigned round;    /* the last round of checks with an answer */
	unsigned failures; /* failed checks in a row */
	unsigned warm;     /* a spare: checks that it has passed */
	uint64_t ok;
	uint64_t failed;
	char last[96];         /* how the last check failed; or "" */
	struct helper *helper; /* exec: the command that runs, or NULL */
	struct unmoved stall;  /* stall: while requests wait */
	struct unmoved missed; /* check: while it takes no connection */
	uint64_t check_inode;  /* inode of the worker's end of the last check, or 0 */
	uint64_t hang_cookie;  /* the connection with a late answer, or 0 */
	char hang[96];         /* the request that was too late; or "" */
	nsec_t above_since;    /* max-memory: when the limit was exceeded; or 0 */
	bool outgrown;         /* its core knows that it has outgrown a limit */
};
