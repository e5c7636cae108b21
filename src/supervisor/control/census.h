/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CENSUS_H
#define SUPERVISOR_CENSUS_H

#include "supervisor/common/state.h"

/*
 * Counts, for a status, the connections that each worker has accepted and not
 * closed, and what the worker uses (use.h).  A process of its own counts, because
 * workers may have very many connections, and a worker may make a look at it
 * wait: the loop never waits for it.
 */

/* True: counting has begun, and clients_counted() is called at its end; false: the
 * last census is new enough, or none is possible. */
bool census_begin(struct supervisor *sup);
/* The worker's connections; -1: unknown. */
long census_of(const struct child *child);

/* Stop counting, and free the census. */
void census_fini(struct supervisor *sup);

#endif
