/* SPDX-License-Identifier: MIT */
#ifndef BASE_PLAIN_H
#define BASE_PLAIN_H

#include <stddef.h>
#include <stdint.h>

/*
 * Structs that describe themselves: which of their members are carried to another
 * program, and under which number.  The owner of a struct writes its table;
 * protocol/handover.h makes bytes of the members, and members of bytes.
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
	PLAIN_STRUCT,   /* a struct by value, with a table of its own */
};

struct plain_table;
struct carried;

struct plain_row {
	uint8_t tag; /* from 1 on; unique in its table */
	uint8_t kind : 6;
	uint8_t must : 1;   /* a struct without this member is refused */
	uint8_t always : 1; /* the member is written also if it is 0 */
	uint16_t most;      /* of an UNSIGNED: more is refused; 0: no bound */
	uint16_t offset;
	uint16_t size;
	union {
		const struct plain_table *inner; /* of a struct */
		const struct carried *what;      /* supervisor/common/carried.h */
		size_t each;                     /* supervisor/common/carried.h, too */
	};
};

struct plain_table {
	const struct plain_row *rows;
	uint32_t count;
	uint32_t size; /* of the struct */
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
#define PLAIN_IN(number, type, member_of, table) \
	{ \
		.tag = (number), .kind = PLAIN_STRUCT, .offset = offsetof(struct type, member_of), \
		.size = sizeof(((struct type *)NULL)->member_of), .inner = (table) \
	}
#define PLAIN_TABLE(list, type) \
	{ \
		.rows = (list), .count = sizeof(list) / sizeof((list)[0]), \
		.size = sizeof(struct type) \
	}

#endif
