/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORPHANS_INSIDE_H
#define SUPERVISOR_ORPHANS_INSIDE_H

#include "protocol/orphan_state.h"
#include "supervisor/orphans/keeper.h"
#include "supervisor/common/state.h"

/* The state of an earlier nclust, which adopt*.c and orphans_left.c use until all of its workers are
 * taken over or ended; and a worker of it. */
struct old_worker {
	const struct state_entry *entry;
	int pidfd; /* -1: the process is gone, or its child has the pidfd */
	bool lives;
	bool is_adopted;                      /* to be taken over; false: to be ended */
	const struct orphan_cluster *cluster; /* NULL: the state does not know its cluster */
};

struct previous {
	struct state_past past;
	struct orphan_state orphan_state;
	struct fd_store store;
	struct old_worker *workers; /* heap: past.count workers */
	unsigned adopt_count;       /* how many workers are to be taken over */
	unsigned end_count;         /* how many are to be ended */
	pid_t kept_pid;             /* any living worker of `orphans = keep`; or 0 */
	unsigned adopted;
	nsec_t began;
};

/* The cluster of that name in the state, or NULL. */
const struct orphan_cluster *previous_cluster(const struct previous *h, const char *name);

/* Read the serial of a worker from its environment.  The environment can be forged, so only a
 * process of `user` (uid + 1; 0: any user of workers) is believed.  1; 0: the process is no worker
 * of this instance, or must not be read; -1 and errno: not known. */
int remains_serial(struct supervisor *sup, pid_t pid, uint32_t user, uint64_t *serial);
/* End workers that are not taken over, and their leftovers: SIGTERM, then SIGKILL, in at most three
 * seconds for each search.  Returns their number. */
unsigned remains_end(struct supervisor *sup, struct previous *h);
/* The pid of any process that looks like a worker of this instance, or 0. */
pid_t remains_find(struct supervisor *sup);

/* Take over the learned listeners of the service. */
int adopt_learned(struct service *service, struct error *err);

#endif
