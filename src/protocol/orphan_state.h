/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_ORPHAN_STATE_H
#define PROTOCOL_ORPHAN_STATE_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the next nclust has to know when this one was killed: the clusters and the
 * listeners, in the form of protocol/handover.h.  The workers are in another file
 * (os/place/statefile.h).
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
	struct orphan_generation generations[ORPHAN_GENERATIONS_MAX];
	uint32_t generation_count;
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
	struct orphan_socket sockets[ORPHAN_SOCKETS_MAX];
	uint32_t socket_count; /* 0: there is only the socket of `cookie` */
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
	uint64_t serial; /* the last one */
	uint32_t upgrades;
};

void orphan_state_fini(struct orphan_state *e);
/* Append a zeroed cluster; NULL: out of memory, or too many. */
struct orphan_cluster *orphan_state_add_cluster(struct orphan_state *e, const char *name);
struct orphan_listener *orphan_state_add_listener(struct orphan_state *e, const char *address);

struct orphan_segment *orphan_state_add_segment(struct orphan_state *e);

int orphan_state_encode(struct buffer *out, const struct orphan_state *e);
/* -1 and `err`: then *e is empty. */
int orphan_state_decode(struct orphan_state *e, const void *data, size_t size, struct error *err);

#endif
