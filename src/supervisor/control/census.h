/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CENSUS_H
#define SUPERVISOR_CENSUS_H

#include "supervisor/common/state.h"

/*
 * A look at all workers, when a status is to tell how many connections each has that
 * it has accepted and not closed: at these, and at what it uses (use.h).  A process of
 * its own looks, because there may be very many connections and workers, and a worker
 * may make a look at it wait: the loop never does.
 */

/* True: they are being counted, and clients_counted() is called when that is over;
 * false: they were counted a moment ago, or cannot be. */
bool census_begin(struct supervisor *sup);
/* -1: it cannot be told. */
long census_of(const struct child *child);

/* Count no more. */
void census_fini(struct supervisor *sup);

#endif
