/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/place/statefile.h"
#include "protocol/logwire.h"
#include "supervisor/common/state.h"

/*
 * An earlier nclust of the same name was killed (`orphans = keep`): this is what it has left.  The
 * room orphans reads it.  A listener or segment that is opened is taken from it here.
 */

/* ---- what was written down ---- */

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
	char *address;                 /* as a user writes it */
	uint32_t cluster;              /* number of the cluster of a learned listener */
	uint64_t cookie;               /* SO_COOKIE: identifies the socket */
	bool given;                    /* a worker that binds has had it */
	struct listener was;           /* only what has a row (orphan_state.c) is written down */
	struct orphan_socket *sockets; /* heap */
	size_t socket_count;           /* 0: there is only the socket of `cookie` */
};

/* Shared memory. */
struct orphan_segment {
	uint32_t cluster;   /* number */
	struct segment was; /* only what has a row */
};

struct orphan_state {
	struct orphan_cluster *clusters; /* heap */
	size_t cluster_count;
	struct orphan_listener *listeners; /* heap */
	size_t listener_count;
	struct orphan_segment *segments; /* heap */
	size_t segment_count;
};

/* ---- what the keeper held ---- */

/* What the keeper has returned for a worker, listener or segment. */
struct stored {
	enum logwire_what what;
	uint32_t which;
	uint64_t id;
	int fds[LOGWIRE_FDS_MAX];
};
struct fd_store {
	struct stored *list; /* heap; fd_store_fini() closes what was not taken */
	size_t count;
	int channel; /* to the keeper, which becomes nclust's logger; or -1 */
	pid_t pid;   /* the keeper's */
	int socket;  /* where the keeper listens */
};
/* Take a descriptor, which the caller owns then; -1: the keeper had none, or `stored` is NULL. */
int stored_take(struct stored *stored, enum logwire_which which);
struct stored *fd_store_find(struct fd_store *store, enum logwire_what what, uint64_t id);

/* ---- all of it ---- */

/* The state of an earlier nclust, which adopt*.c, orphans_left.c and previous.c use until all of its workers are
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

/* What the state says of the cluster of that name, if the settings keep its workers; or NULL: they
 * do not, it has none of that name, or there is no earlier nclust (`h` is NULL). */
const struct orphan_cluster *previous_cluster(
	const struct previous *h, const struct cluster_settings *s);

/* A listener or segment is about to be opened.  1: an earlier nclust had it, and it has that one's
 * descriptor now; 0: it is to be opened anew; -1 and `err`. */
int previous_listener(struct listener *l, struct error *err);
int previous_segment(struct segment *s, const struct cluster_settings *settings, struct error *err);
/* Take over the learned listeners of the service. */
int previous_learned(struct service *service, struct error *err);
