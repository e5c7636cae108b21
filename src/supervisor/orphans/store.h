/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STORE_H
#define SUPERVISOR_STORE_H

#include "supervisor/common/state.h"

/*
 * The descriptor store of a service manager (sd_notify(3), FDSTORE=1): with
 * `orphans = keep` it has the listeners as well, and gives them to the next
 * nclust in its LISTEN_FDS, by names of ours.
 */
void store_put(struct supervisor *sup, struct listener *l);
void store_remove(struct supervisor *sup, struct listener *l);

/* What came from it is ours by now, or nobody's any more. */
void store_sort_out(struct supervisor *sup);

#endif
