/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STORE_H
#define SUPERVISOR_STORE_H

#include "supervisor/common/state.h"

/*
 * The descriptor store of a service manager (sd_notify(3), FDSTORE=1).  With
 * `orphans = keep` it holds the listeners as well as the keeper, and passes
 * them to the next nclust in LISTEN_FDS, under names that begin with "nclust-".
 */
void store_put(struct supervisor *sup, struct listener *l);
void store_remove(struct supervisor *sup, struct listener *l);

/* After adoption: close what came from the store; forget there what no listener
 * uses. */
void store_sort_out(struct supervisor *sup);

#endif
