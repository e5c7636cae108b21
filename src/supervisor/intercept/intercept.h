/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INTERCEPT_H
#define SUPERVISOR_INTERCEPT_H

#include "os/look/remote.h"
#include "supervisor/common/part.h"

/*
 * Taking over the port of a server that binds by itself: bind(2) and listen(2)
 * of each worker and of all that it starts wait here for an answer.  This file
 * hears them, bounds what they may cost, and says where it is not possible;
 * takeover.c knows the answers.
 */

extern const struct part intercept_part;

/* Its memory, into `to`, with a bound.  -1: it cannot be read. */
int intercept_read(struct child *child, struct remote *r, uint64_t at, void *to,
	size_t size);
/* After the looks at one of its threads: did it hold us up?  Then that was the
 * last time. */
void intercept_judge(struct child *child, const struct remote *r);
/* Its socket cannot be had: say so, once. */
void intercept_tell_refused(struct child *child, int error);

void intercept_init(struct supervisor *sup);
void intercept_fini(struct supervisor *sup);

#endif
