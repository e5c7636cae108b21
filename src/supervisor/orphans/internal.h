/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORPHANS_INTERNAL_H
#define SUPERVISOR_ORPHANS_INTERNAL_H

#include "protocol/logwire.h"
#include "supervisor/common/carried.h"

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
	int channel; /* to the keeper, which becomes nclust's logger; or -1 */
	pid_t pid;   /* the keeper's */
	int socket;  /* where the keeper listens */
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

/* ---- orphan state ---- */

/*
 * The clusters and listeners of this nclust, for the next one if this one is killed, in the
 * encoding of protocol/handover.h.  The workers are in another file (os/place/statefile.h).
 */
struct orphan_generation {
	uint32_t number;
	uint64_t digest; /* of the settings that its workers were born with */
};

#define ORPHAN_GENERATIONS_MAX 64
#define ORPHAN_ITEMS_MAX 4096

struct orphan_cluster {
	char name[65];
	uint32_t number; /* its number in the table of workers */
	uint32_t generation;
	uint32_t wanted;
	bool scaled;      /* `wanted` is the operator's number */
	uint64_t workers; /* digest of the `workers` setting that `wanted` overrules */
	bool says_ready;  /* learned of its command */
	bool listens;
	/* Why each worker has a socket of its own without a setting (struct uneven). */
	uint32_t uneven_since; /* a generation; 0: workers share one */
	uint32_t uneven_slot;
	uint32_t uneven_percent;
	uint32_t uneven_workers;
	/* NULL, or the command that a restart gave in place of `configured` */
	char *command; /* heap, both */
	char *configured;
	struct orphan_generation *generations; /* heap */
	size_t generation_count;
};

/* Has the worker of the socket asked for it, by a bind(2)? */
enum orphan_bound { ORPHAN_UNKNOWN, ORPHAN_NOT_BOUND, ORPHAN_BOUND };

/* One of several sockets of a listener, in the order of the kernel's group. */
struct orphan_socket {
	uint64_t cookie;
	uint64_t inode;
	uint32_t lane;           /* of the workers that have it */
	enum orphan_bound bound; /* unknown in files of an older version */
};
#define ORPHAN_SOCKETS_MAX 128

struct orphan_listener {
	char *address;    /* as a user writes it */
	uint32_t cluster; /* number of the cluster of a learned listener */
	uint64_t cookie;  /* SO_COOKIE: identifies the socket */
	uint64_t inode;
	uint64_t file_dev; /* of a unix path that nclust made */
	uint64_t file_ino;
	uint32_t file_uid; /* 0: nclust's own; else a worker's user */
	uint32_t file_gid; /* with file_uid: the rights by which the file is removed */
	bool made;
	bool learned;
	bool listening;
	bool given;       /* a worker that binds has had it */
	uint64_t renewed; /* workers up to this serial have a former socket */
	uint32_t bit;
	uint32_t backlog;
	struct orphan_socket *sockets; /* heap */
	size_t socket_count;           /* 0: there is only the socket of `cookie` */
};

/* Shared memory. */
struct orphan_segment {
	uint32_t cluster; /* number */
	uint64_t wanted;  /* the size in the settings */
	uint32_t huge;    /* the kind of pages in the settings */
	uint64_t dev;     /* with the inode: which segment it is */
	uint64_t ino;
	uint64_t size; /* its actual size */
};

struct orphan_state {
	struct orphan_cluster *clusters; /* heap */
	size_t cluster_count;
	struct orphan_listener *listeners; /* heap */
	size_t listener_count;
	struct orphan_segment *segments; /* heap */
	size_t segment_count;
};

void orphan_state_fini(struct orphan_state *e);
/* Append an element of zeros, of `size` bytes, to one of the lists above, whose pointer is *list.
 * NULL: out of memory, or too many. */
void *orphan_state_add(void *list, size_t *count, size_t size);

/* -1: out of memory. */
int orphan_state_encode(struct buffer *out, const struct orphan_state *e);
/* -1 and `err`: then *e is empty. */
int orphan_state_decode(struct orphan_state *e, const void *data, size_t size, struct error *err);

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
