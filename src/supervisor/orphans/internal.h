/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORPHANS_INTERNAL_H
#define SUPERVISOR_ORPHANS_INTERNAL_H

#include "protocol/handover.h"
#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/* ---- keeper ---- */

/* With `orphans = keep` the logger is also the keeper (logger/reading.h): it holds duplicates of the
 * descriptors that must outlive nclust. */
bool keeper_wanted(const struct supervisor *sup);
/* Make the logger the keeper and send it the descriptors that it does not hold: of workers now, of
 * listeners and segments when this turn ends.  A `fresh` logger holds none. */
void keeper_greet(struct supervisor *sup, bool fresh);
/* nclust is about to end: ask the keeper to exit, too. */
void keeper_leave(struct supervisor *sup);

void keeper_hold_child(struct child *child);
void keeper_drop_child(const struct child *child);
/* Let the keeper hold `fd`: a socket, whose id is its cookie, or a segment, by its sharedmem_id().
 * *keeper_id becomes the id; if it was another id, the keeper drops that first. */
void keeper_hold(
	struct supervisor *sup, enum logwire_what what, uint64_t id, int fd, uint64_t *keeper_id);
void keeper_drop(struct supervisor *sup, enum logwire_what what, uint64_t *keeper_id);

/* What the keeper has returned for a worker, listener or segment. */
struct stored {
	enum logwire_what what;
	uint32_t which;
	uint64_t id;
	int fds[LOGWIRE_FDS_MAX];
};
struct fd_store {
	struct stored *list; /* heap, sorted; fd_store_fini() closes what was not taken */
	size_t count;
	int channel;    /* to the keeper, which becomes nclust's logger; or -1 */
	pid_t pid;      /* the keeper's */
	bool copies;    /* the keeper knows LOGWIRE_COPY */
	bool remembers; /* the keeper sent LOGWIRE_CAN_REMEMBER */
	bool routes;    /* the keeper knows LOGWIRE_ROUTE */
	int socket;     /* where the keeper listens */
};
/* Get all descriptors from the keeper of an earlier nclust.  -1 and `err`; err->sys is ENOENT or
 * ECONNREFUSED if there is no keeper. */
int keeper_call(struct supervisor *sup, struct fd_store *store, struct error *err);
/* Let the keeper drop the sockets and segments that nclust has not taken. */
void keeper_drop_rest(struct supervisor *sup, const struct fd_store *store);
/* Ask the keeper of an earlier nclust to exit, with all that it holds; wait for that, at most
 * PATIENCE. */
void keeper_dismiss(struct supervisor *sup);
void fd_store_fini(struct fd_store *store);
/* Take a descriptor, which the caller owns then; -1: the keeper had none, or `stored` is NULL. */
int stored_take(struct stored *stored, enum logwire_which which);
struct stored *fd_store_find(struct fd_store *store, enum logwire_what what, uint64_t id);

/* ---- what an earlier nclust left ---- */

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
