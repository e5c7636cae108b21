/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HERITAGE_H
#define SUPERVISOR_HERITAGE_H

#include "protocol/estate.h"
#include "supervisor/orphans/keeper.h"
#include "supervisor/common/state.h"

/*
 * What an earlier nclust has left; for adopt*.c alone, while it is taken over.
 */
struct inmate {
	const struct state_entry *entry;
	unsigned place; /* of the entry in the file */
	int pidfd;      /* -1: it is gone, or somebody has it */
	bool lives;
	bool ours; /* to be taken over; else to be ended */
	const struct estate_cluster *cluster; /* NULL: not known */
};

struct heritage {
	struct state_past past;
	struct estate estate;
	struct givens givens;
	struct inmate *inmates; /* heap; as many as past.count */
	unsigned adopted;
	nsec_t began;
};

/* The living that are to be ended, and what all but those taken over have left
 * behind: SIGTERM, then SIGKILL, within three seconds.  Returns how many. */
unsigned remains_end(struct supervisor *sup, struct heritage *h);
/* Does any process but us and ours look like a worker of this name? */
pid_t remains_find(struct supervisor *sup);

/* The socket of a listener: from the service manager, the keeper, or a worker.
 * -1: nobody has it. */
int heritage_socket(struct supervisor *sup, const struct estate_listener *l);
/* The socket of a listener that an earlier one had: 1: it is in l->fd; 0: there
 * was none, or nobody needs it any more; -1 and `err`. */
int adopt_socket(struct supervisor *sup, struct listener *l, struct error *err);
/* Likewise the shared memory of a cluster: s->fd, of the size that s->wanted and
 * s->huge say. */
int adopt_segment(struct segment *s, const struct cluster_settings *settings,
	struct error *err);
/* Somebody alive of its cluster is to be taken over. */
const struct inmate *heritage_holder(
	const struct heritage *h, const struct estate_listener *l);

/* What its workers have bound, and which of them has which. */
int adopt_learned(struct service *service, struct error *err);
void adopt_uses(struct child *child);

#endif
