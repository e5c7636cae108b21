/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

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

/* ---- members of structs ---- */

/*
 * Structs that describe themselves: which of their members are carried to another
 * program, and under which number.  The owner of a struct writes its rows.
 *
 * A tag is for ever: the tag of a removed member is not used again, a new member
 * gets the next.  A member that a reader does not find is 0, false, "" or, of a
 * PLAIN_WHEN, NSEC_NEVER, of a PLAIN_FD -1.
 */
enum plain_kind {
	PLAIN_BOOL,
	PLAIN_UNSIGNED, /* of 1, 2, 4 or 8 bytes; enums too */
	PLAIN_SIGNED,   /* of 4 or 8 bytes */
	PLAIN_WHEN,     /* nsec_t that usually is NSEC_NEVER */
	PLAIN_FD,       /* int: a descriptor of ours, or -1 */
	PLAIN_TEXT,     /* char [N], with a NUL inside */
	PLAIN_HEAP,     /* char *: a text on the heap, or NULL */
	PLAIN_BUFFER,   /* struct buffer; the text is appended to it */
	PLAIN_WORDS,    /* uint64_t [N] or nsec_t [N] */
};

struct carried;

struct plain_row {
	uint8_t tag; /* from 1 on; unique among the rows of its struct */
	uint8_t kind : 6;
	uint8_t must : 1;   /* a struct without this member is refused */
	uint8_t always : 1; /* the member is written also if it is 0 */
	uint16_t most;      /* of an UNSIGNED: more is refused; 0: no bound */
	uint16_t offset;
	uint16_t size;
	union {
		const struct carried *what; /* supervisor/common/carried.h */
		size_t each;                /* supervisor/common/carried.h, too */
	};
};

/* (One within the other would be shorter, but is too much for cppcheck.) */
#define PLAIN(number, type, member_of, how) \
	{ \
		.tag = (number), .kind = PLAIN_##how, .offset = offsetof(struct type, member_of), \
		.size = sizeof(((struct type *)NULL)->member_of) \
	}
/* A member that must be there. */
#define PLAIN_MUST(number, type, member_of, how) \
	{ \
		.tag = (number), .kind = PLAIN_##how, .must = 1, \
		.offset = offsetof(struct type, member_of), \
		.size = sizeof(((struct type *)NULL)->member_of) \
	}
/* A member that is written also if it is 0. */
#define PLAIN_ALWAYS(number, type, member_of, how) \
	{ \
		.tag = (number), .kind = PLAIN_##how, .always = 1, \
		.offset = offsetof(struct type, member_of), \
		.size = sizeof(((struct type *)NULL)->member_of) \
	}
/* An enum, and the last of its values. */
#define PLAIN_ENUM(number, type, member_of, last) \
	{ \
		.tag = (number), .kind = PLAIN_UNSIGNED, .most = (last), \
		.offset = offsetof(struct type, member_of), \
		.size = sizeof(((struct type *)NULL)->member_of) \
	}

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
/* A member of a struct; one that is 0, "" or NEVER takes no room. */
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

/* Store the field in the row's member, which has its number.  1; -1: its type or its value does not
 * fit the member. */
int handover_take_member(const struct plain_row *row, void *to, const struct handover_field *f);
/* Set the members to the values that they have without a field. */
void handover_clear_members(const struct plain_row *rows, uint32_t count, void *to);
