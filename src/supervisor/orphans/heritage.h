/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HERITAGE_H
#define SUPERVISOR_HERITAGE_H

#include "protocol/estate.h"
#include "supervisor/orphans/keeper.h"
#include "supervisor/common/state.h"

/* What an earlier nclust has left; adopt*.c and remains.c alone see it, until
 * all is taken over or ended. */
struct inmate {
	const struct state_entry *entry;
	int pidfd; /* -1: the process is gone, or the pidfd was taken */
	bool lives;
	bool ours;                            /* to be taken over; else to be ended */
	const struct estate_cluster *cluster; /* NULL: not known */
};

struct heritage {
	struct state_past past;
	struct estate estate;
	struct givens givens;
	struct inmate *inmates; /* heap; as many as past.count */
	unsigned ours;          /* so many are to be taken over … */
	unsigned others;        /* … and so many not */
	pid_t kept;             /* a living one that was to be kept; or 0 */
	unsigned adopted;
	nsec_t began;
};

/* The cluster of that name, as it was written down; or NULL. */
const struct estate_cluster *heritage_named(const struct heritage *h, const char *name);

/* The serial of a worker of this name, as its environment says.  Anybody may
 * have put that there, so only a process of that user (uid + 1) is believed; 0:
 * of any user that workers have.  1; 0: the process is none, or none that we may
 * look at; -1 and errno: cannot be told. */
int remains_serial(struct supervisor *sup, pid_t pid, uint32_t user, uint64_t *serial);
/* End workers that are not taken over, and processes that such workers have
 * left: SIGTERM, then SIGKILL, within three seconds.  Returns their number. */
unsigned remains_end(struct supervisor *sup, struct heritage *h);
/* The pid of a process that looks like a worker of this name; 0: none does. */
pid_t remains_find(struct supervisor *sup);

/* Take over the listeners that workers of the service have bound. */
int adopt_learned(struct service *service, struct error *err);

#endif
