/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LIFECYCLE_H
#define SUPERVISOR_LIFECYCLE_H

#include "supervisor/common/part.h"

extern const struct part instance_part;

/* The instance as a whole: when it counts as started, how it stops, with what
 * status it ends. */

/* Stop everything; `at_once` kills, also during a stop.  Any other further call does nothing. */
void lifecycle_stop(struct supervisor *sup, bool at_once);
/* The start has failed: report why, also to the process that waits for -d; stop, and
 * exit with `status`. */
void lifecycle_fail(struct supervisor *sup, int status, const char *why);

/* Called in each turn of the loop: is the instance over, or ready? */
void lifecycle_look(struct supervisor *sup);

#endif
