/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_COUNTERS_H
#define SUPERVISOR_COUNTERS_H

#include "supervisor/common/part.h"

/*
 * Counts what has happened in a cluster (struct counters of common/state.h), for the `counters` of a
 * status.  Most of that comes as reports of the core; the functions here count the rest.
 *
 * A new counter needs: a member in common/state.h; a line in counters.c that counts it, and
 * one in counters_on_status(); a PLAIN() row in workers/carry_workers.c, or an upgrade begins
 * it at 0; and a row of families[] in web/metrics.c for the page of metrics.
 */
extern const struct part counters_part;

void counters_note_drained(struct service *service, nsec_t took, bool forced);
void counters_note_hung(struct service *service);
/* The logger has read so many more lines of output, or has lost them. */
void counters_note_lines(struct service *service, uint64_t lines, bool lost);

#endif
