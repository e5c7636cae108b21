/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LIMITS_STATE_H
#define SUPERVISOR_LIMITS_STATE_H

#include "base/nsec.h"

#include <stdbool.h>

/* What only this room knows of a worker: a member of struct child. */
struct limited {
	char *group;      /* heap: its name, "NAME/WORKER"; or NULL */
	unsigned grouped; /* 1: it is in it */
	bool left_told;   /* it has left them; this was logged */
	bool incomplete;  /* at its birth something could not be set */
	/* as last seen (limits_on_dying()) */
	nsec_t looked_at;
	unsigned killed; /* for lack of memory … */
	nsec_t killed_at;
	unsigned refused; /* forks … */
	nsec_t refused_at;
};

#endif
