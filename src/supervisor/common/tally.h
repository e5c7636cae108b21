/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TALLY_H
#define SUPERVISOR_TALLY_H

#include "supervisor/common/part.h"

/*
 * What has happened in a cluster so far, counted (struct tally of state.h): for
 * the `counters` of a status.  Most of it comes as reports of the core; the
 * functions here are for what does not.
 */
extern const struct part tally_part;

void tally_drained(struct service *service, nsec_t took, bool forced);
void tally_hung(struct service *service);
/* The logger has read, or lost, so many lines more. */
void tally_lines(struct service *service, uint64_t lines, bool lost);

#endif
