/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_HANDOVER_H
#define PROTOCOL_HANDOVER_H

#include "base/error.h"
#include "base/plain.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one nclust leaves to the next (man/nclust-upgrade.7): fields with a
 * number, a type and a length, in groups.  Who reads skips the numbers that it
 * does not know, so two versions understand each other as far as they have
 * things in common.
 *
 * A head of 32 bytes stands before the fields: "nclustST", major and minor
 * version (two bytes each), four of zero, the length of all (eight), and a
 * checksum of the fields (eight), little-endian.  Then, for each field:
 * number << 3 | type, as a variable-length integer (seven bits a byte, the
 * lowest first, no byte more than needed); and
 *   U64    the same kind of integer
 *   I64    so too, of (n << 1) ^ (n >> 63)
 *   BYTES  length, as such an integer, and the bytes
 *   TEXT   so too; no NUL inside
 *   GROUP  length, four bytes little-endian, and fields
 */
#define HANDOVER_HEAD 32
#define HANDOVER_DEPTH 8
#define HANDOVER_TAG_MAX 8191
#define HANDOVER_SIZE_MAX (64U * 1024 * 1024)

enum handover_type {
	HANDOVER_U64,
	HANDOVER_I64,
	HANDOVER_BYTES,
	HANDOVER_TEXT,
	HANDOVER_GROUP,
	HANDOVER_TYPES,
};

struct handover_version {
	unsigned major; /* another one is refused */
	unsigned minor; /* the more fields the higher */
};

/* ---- writing; failure is the buffer's `failed` flag ---- */

struct handover_writer {
	struct buffer *out;
	unsigned depth;
	size_t open[HANDOVER_DEPTH]; /* offset of each open group's length */
};

/* Leaves room for the head, which handover_end() fills in.  `out` NULL: all fields
 * are dropped. */
void handover_begin(struct handover_writer *w, struct buffer *out);
int handover_end(
	struct handover_writer *w, const struct handover_version *version); /* -1: out of memory */

void handover_put_u64(struct handover_writer *w, unsigned tag, uint64_t n);
void handover_put_i64(struct handover_writer *w, unsigned tag, int64_t n);
void handover_put_bytes(struct handover_writer *w, unsigned tag, const void *data, size_t len);
void handover_put_text(
	struct handover_writer *w, unsigned tag, const char *text); /* NULL: no field at all */
void handover_open(struct handover_writer *w, unsigned tag);
void handover_close(struct handover_writer *w);
/* Members of a struct; a member that is 0, "" or NEVER takes no room. */
void handover_put_plain(
	struct handover_writer *w, const struct plain_table *table, const void *from);
void handover_put_member(struct handover_writer *w, const struct plain_row *row, const void *from);

/* ---- reading ---- */

struct handover_reader {
	const unsigned char *at;
	const unsigned char *end;
};

struct handover_field {
	unsigned tag;
	enum handover_type type;
	uint64_t u;       /* U64 */
	int64_t i;        /* I64 */
	const char *data; /* BYTES, TEXT, GROUP; no NUL behind it */
	size_t len;
};

/*
 * Check a handover: of this major version, complete, with fields and groups that
 * end where they should.  0, *version and *r at its first field; or -1 and `err`.
 * The bytes stay the caller's, and must not change any more.
 */
int handover_open_for_reading(struct handover_reader *r, const void *data, size_t len,
	unsigned major, struct handover_version *version, struct error *err);

/* The next field; false at the end. */
bool handover_next(struct handover_reader *r, struct handover_field *f);
void handover_enter(struct handover_reader *inner, const struct handover_field *group);
/* A copy with a NUL behind it: heap, or NULL (out of memory, or no TEXT). */
char *handover_text(const struct handover_field *f);

/*
 * Is the field a member of the table's struct?  1: yes, and it is stored; 0: no
 * such number; -1: its type or its value does not fit the member.
 */
int handover_take_plain(const struct plain_table *table, void *to, const struct handover_field *f);
/* The same for a member that has the field's number. */
int handover_take_member(const struct plain_row *row, void *to, const struct handover_field *f);
/* Set all members to the values that they have without a field. */
void handover_clear_plain(const struct plain_table *table, void *to);
/* Read a struct from all fields of a group; -1: a field does not fit. */
int handover_get_plain(
	const struct plain_table *table, void *to, const struct handover_field *group);

/* ---- orphan state ---- */

/*
 * The clusters and listeners of this nclust, for the next one if this one is killed, in
 * the encoding above.  The workers are in another file (os/place/statefile.h).
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
