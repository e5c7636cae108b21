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
	unsigned place; /* of the entry in the file */
	int pidfd;      /* -1: the process is gone, or the pidfd was taken */
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

/* End workers that are not taken over, and processes that such workers have
 * left: SIGTERM, then SIGKILL, within three seconds.  Returns their number. */
unsigned remains_end(struct supervisor *sup, struct heritage *h);
/* The pid of a process that looks like a worker of this name; 0: none does. */
pid_t remains_find(struct supervisor *sup);

/* The socket of a listener: from the service manager, the keeper, or a worker.
 * -1: none of them has it. */
int heritage_socket(struct supervisor *sup, const struct estate_listener *l);
/* Take over a listener's socket.  1: it is in l->fd; 0: the earlier nclust had
 * none, or no worker needs it any more; -1 and `err`. */
int adopt_socket(struct supervisor *sup, struct listener *l, struct error *err);
/* Take over a segment in the same way: into s->fd, if its size is that of
 * s->wanted and s->huge. */
int adopt_segment(struct segment *s, const struct cluster_settings *settings,
	struct error *err);
/* A worker to be taken over of the listener's cluster; NULL: there is none. */
const struct inmate *heritage_holder(
	const struct heritage *h, const struct estate_listener *l);

/* Take over the listeners that workers of the service have bound; then, for
 * each worker taken over, count those that it uses. */
int adopt_learned(struct service *service, struct error *err);
void adopt_uses(struct child *child);

#endif
