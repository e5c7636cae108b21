/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LIMITS_STATE_H
#define SUPERVISOR_LIMITS_STATE_H

#include <stdbool.h>

/* What only this room knows of a worker: a member of struct child. */
struct limited {
	char *group;     /* heap: the name of all, "NAME/WORKER"; or NULL */
	unsigned groups; /* of its own that it is in, one in each hierarchy */
	bool left_told;  /* it has left them; this was logged */
	bool incomplete; /* at its birth something could not be set */
};

#endif
