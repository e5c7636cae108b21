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

#endif
