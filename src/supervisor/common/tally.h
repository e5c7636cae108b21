/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TALLY_H
#define SUPERVISOR_TALLY_H

#include "supervisor/common/part.h"

/* Counts what has happened in a cluster (struct tally of state.h), for the `counters` of a status.
 * Most of that comes as reports of the core; the functions here count the rest. */
extern const struct part tally_part;

void tally_drained(struct service *service, nsec_t took, bool forced);
void tally_hung(struct service *service);
/* The logger has read so many more lines of output, or has lost them. */
void tally_lines(struct service *service, uint64_t lines, bool lost);

#endif
