/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * Counts, for a status, the connections that each worker has accepted and not
 * closed.  A process of its own counts, because workers may have very many
 * connections, and a worker may make a look at it wait: the loop never waits for it.
 */

/* True: counting has begun, and clients_counted() is called at its end; false: the
 * last census is new enough, or none is possible. */
bool census_begin(struct supervisor *sup);
/* The worker's connections; -1: unknown. */
long census_of(const struct child *child);

/* Stop counting. */
void census_fini(struct supervisor *sup);
