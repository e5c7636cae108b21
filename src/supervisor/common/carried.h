/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRIED_H
#define SUPERVISOR_CARRIED_H

#include "protocol/handover.h"
#include "supervisor/common/state.h"

/*
 * What an upgrade carries.  nclust executes its successor in its own process,
 * and hands its state over as numbered fields, in groups (protocol/handover.h).
 * A room describes each struct that is to be carried by a `struct carried`, and
 * names that in supervisor/carries.c or in the one of the struct that contains
 * it.  The functions here write a struct as a group of fields, and read it
 * back.  Descriptors keep their numbers.
 *
 * Reading a state opens, watches and changes nothing, because it may be only a
 * check that it can be read.  supervisor/resume.c does the rest.
 */

/* The numbers of fields at the top, and of those in groups that no table of
 * plain members has.  A number is never changed or used again. */
enum carry_tag {
	CARRY_BINARY = 1,
	CARRY_SUPERVISOR,
	CARRY_SETTINGS, /* of clusters; others refer to them by their order */
	CARRY_INSTANCE,
	CARRY_LISTENER, /* referred to in the same way */
	CARRY_INHERITED,
	CARRY_SERVICE, /* referred to in the same way */
	CARRY_CLIENT,
	CARRY_CLIENTS, /* the control socket */
	CARRY_HISTORY,
	CARRY_NEWS,
	CARRY_MANAGER,
	CARRY_DESCRIPTORS,
	CARRY_HOOKS,
	CARRY_ENDING,  /* helpers that nobody waits for any more */
	CARRY_SEGMENT, /* referred to in the same way */

	/* in a group, after the numbers of its plain members */
	CARRY_TEXT = 100,
	CARRY_PAIR, /* key and value, with a NUL between: bytes */
	CARRY_WORD,
	CARRY_ORIGIN,
	CARRY_CLUSTER, /* index in an instance: which of the settings */
	CARRY_INDEX,
	CARRY_OPTIONS,
	CARRY_CORE,
	CARRY_SLOT,
	CARRY_GENERATION,
	CARRY_DUE,
	CARRY_CHILD,
	CARRY_RECIPE,
	CARRY_SET,
	CARRY_LEARNED,
	CARRY_EARLY,
	CARRY_IN,
	CARRY_OUT,
	CARRY_EXPECTATION,
	CARRY_SERVICE_INDEX,
	CARRY_SLOTS,
	CARRY_GENERATIONS,
	CARRY_OUTCOME,
	CARRY_CANDIDATE,
	CARRY_GROUPS,
	CARRY_CHILDREN,
	CARRY_HEALTH,
	CARRY_CHANNEL,
	CARRY_MARK, /* of a queue: where a descriptor goes, after CARRY_OUT */
	CARRY_HELPER,
	CARRY_HOOK,
	CARRY_FACTS,
	CARRY_SOCKET, /* of several of a listener */
	CARRY_ACCEPTING,
	CARRY_VISIT,
	CARRY_MEMORY, /* index of a segment */
	CARRY_FORMER, /* index of the former segment */
	CARRY_NODE,   /* of a cluster, and of a worker: node.h */
	CARRY_NODE_SERVER,
	CARRY_NODE_USE,
	CARRY_NODE_FLIGHT,
	CARRY_NODE_WAIT,
	CARRY_DATA,
	CARRY_TROUBLE,
	CARRY_PORTS,
	CARRY_SLOTLOG,
	CARRY_SCALING,
	CARRY_BROKER,
	CARRY_ASKER,
	CARRY_PATH,

	/* for tests: a field that no reader knows */
	CARRY_UNKNOWN = 8000,
};

/* What differs between the builds that tests use as versions (variant.c). */
struct carry_variant {
	struct handover_version version; /* of the state that it writes */
	const char *program;             /* NCLUST_VERSION, or so */
	bool more;                       /* writes fields that no reader knows */
	bool less; /* leaves out texts that a reader can do without; its logger
		      cannot copy output */
	int fault; /* enum carry_fault */
};
enum carry_fault {
	FAULT_NONE,
	FAULT_CHECK_CRASHES,
	FAULT_CHECK_HANGS,
	FAULT_RESTORE_FAILS,    /* after the exec */
	FAULT_TAKEOVER_CRASHES, /* later, when nclust cannot go back */
};
extern const struct carry_variant carry_variant;

/* What the state says of the program that wrote it. */
struct carry_binary {
	char version[64];
	char path[4096]; /* by which it was started; an upgrade executes it */
	int image;       /* O_PATH of the binary, to go back to */
	pid_t pid;
	nsec_t written;
	nsec_t asked; /* when the upgrade was asked for */
	uint64_t capabilities;
	int standby;     /* -1, or a pipe: see dismiss() in resume.c */
	bool going_back; /* set by a binary that goes back to the old one */
};

/* What several structs refer to is written once, and referred to by its
 * index. */
enum carry_kind {
	CARRY_OF_SETTINGS,
	CARRY_OF_LISTENERS,
	CARRY_OF_SEGMENTS,
	CARRY_KINDS,
	CARRY_OF_CLUSTERS = CARRY_KINDS, /* struct service, by its index */
};
struct carry_list {
	void **list;
	size_t count;
	size_t cap;
};

/* A descriptor as the state has it, with its identity if that was noted. */
struct carry_descriptor {
	uint64_t fd_and_type; /* of st_mode, << 32 */
	uint64_t dev;
	uint64_t ino;
} __attribute__((packed));

struct carry_writer {
	struct supervisor *sup;
	struct handover_writer w;
	struct buffer out;
	struct carry_list lists[CARRY_KINDS];
	struct buffer descriptors; /* struct carry_descriptor */
	size_t queued;             /* bytes of the channels' queues */
	bool lasting;
};

struct carry_reader {
	struct supervisor *sup;
	struct error *err;
	struct handover_version version;
	struct carry_binary binary;
	struct carry_list lists[CARRY_KINDS];       /* a reference or use each */
	const struct carry_descriptor *descriptors; /* inside the state */
	size_t descriptor_count;
	const void *with_words; /* settings whose command comes */
	unsigned skipped;       /* settings that are not known here */
	char skipped_key[40];
};

/* How a struct is carried, as a group of fields. */
struct carried {
	const struct plain_row *rows; /* those below, too */
	uint16_t row_count;           /* CARRIED_ROWS() */
	uint16_t size;
	const char *called; /* "the state of … is not understood" */

	/* These functions may be NULL.  Write fields that have no row; the
	 * rows come before. */
	void (*put)(struct carry_writer *c, const void *of);
	/* Read a field, before the rows are asked.  1: it was stored; 0: it is
	 * none of these; -1: it is invalid (r->err may say more). */
	int (*take)(struct carry_reader *r, void *to, const struct handover_field *f);
	/* All fields of the group were read.  -1: invalid, as above. */
	int (*done)(struct carry_reader *r, void *to);
	/* Make an empty struct for that owner.  NULL: no memory.  Without this
	 * function it is all zeros, in the place that the owner's row says. */
	void *(*make)(struct carry_reader *r, void *owner);
};
#define CARRIED_ROWS(list, type) \
	.rows = (list), .row_count = sizeof(list) / sizeof((list)[0]), .size = sizeof(struct type)

/* Rows beside those of base/plain.h. */
enum carry_row {
	CARRY_ROW_REFERENCE = 32,
	CARRY_ROW_REFERENCES,
	CARRY_ROW_REFERRED,
	CARRY_ROW_LIST,
	CARRY_ROW_ARRAY,
	CARRY_ROW_POINTERS,
	CARRY_ROW_EACH,
	CARRY_ROW_GROUP,
	CARRY_ROW_INSIDE,
	CARRY_ROW_BESIDE,
	CARRY_ROW_BYTES,
	CARRY_ROW_TEXTS,
};
/* A pointer to a shared struct.  Reading it adds a reference or use. */
#define CARRY_REFERENCE(number, type, member_of, kind_of, need) \
	{ \
		.tag = (number), .kind = CARRY_ROW_REFERENCE, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), \
		.must = (need), .each = (kind_of) \
	}
/* An array of such pointers, and its length (a size_t). */
#define CARRY_REFERENCES(number, type, member_of, kind_of, count_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_REFERENCES, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), \
		.most = offsetof(struct type, count_of), .each = (kind_of) \
	}
/* All structs of a kind to which others refer. */
#define CARRY_REFERRED(number, of, kind_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_REFERRED, .most = (kind_of), .what = (of) \
	}
/* A pointer to the first of a list, and where each has the next one. */
#define CARRY_LIST(number, type, member_of, of, element, next_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_LIST, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), .what = (of), \
		.most = offsetof(struct element, next_of) \
	}
/* A pointer to several, or to pointers to several, and how many (a size_t). */
#define CARRY_ARRAY(number, type, member_of, of, count_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_ARRAY, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), .what = (of), \
		.most = offsetof(struct type, count_of) \
	}
#define CARRY_POINTERS(number, type, member_of, of, count_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_POINTERS, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), .what = (of), \
		.most = offsetof(struct type, count_of) \
	}
/* A pointer to a struct, or NULL. */
#define CARRY_GROUP(number, type, member_of, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_GROUP, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), .what = (of) \
	}
/* A struct by value; and the same struct, in a group of its own. */
#define CARRY_INSIDE(number, type, member_of, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_INSIDE, \
		.offset = offsetof(struct type, member_of), .what = (of) \
	}
#define CARRY_ITSELF(number, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_INSIDE, .what = (of) \
	}
/* More fields of the same struct, in the same group. */
#define CARRY_BESIDE(of) \
	{ \
		.kind = CARRY_ROW_BESIDE, .what = (of) \
	}
/* Groups that `put` writes.  Each is made by `make`, which puts it where it
 * belongs. */
#define CARRY_EACH(number, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_EACH, .what = (of) \
	}
/* A pointer to several numbers, and how many (a size_t); or NULL. */
#define CARRY_BYTES(number, type, member_of, count_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_BYTES, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), \
		.most = offsetof(struct type, count_of), \
		.each = sizeof(*((struct type *)NULL)->member_of) \
	}
/* A pointer to texts, and how many (a size_t).  A NULL is put after them. */
#define CARRY_TEXTS(number, type, member_of, count_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_TEXTS, \
		.offset = offsetof(struct type, member_of), .size = sizeof(void *), \
		.most = offsetof(struct type, count_of) \
	}

/* ---- writing ---- */

/* Write the fields of a group, without its head. */
void carry_put_all(struct carry_writer *c, const struct carried *what, const void *of);
/* Write a group; `of` NULL: nothing. */
void carry_put_one(
	struct carry_writer *c, unsigned tag, const struct carried *what, const void *of);
/* Write which one of its kind it is as a field; `item` NULL: nothing. */
void carry_put_index(struct carry_writer *c, unsigned tag, enum carry_kind kind, const void *item);
void carry_fini(struct carry_writer *c);

/* ---- reading ---- */

/* Fill *to with the fields of a group.  1; or -1 and r->err.  NULL: there was
 * no memory for it, and that is what r->err says. */
int carry_get_one(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f);
/* The same without the group's head. */
int carry_get_all(
	struct carry_reader *r, const struct carried *what, void *to, struct handover_reader *in);
/* What an index refers to, or NULL. */
void *carry_at(const struct carry_reader *r, enum carry_kind kind, const struct handover_field *f);
/* Add a text to a list that ends with NULL.  1; -1: the field is no text, or
 * there is no memory. */
int carry_take_word(char ***list, size_t *count, const struct handover_field *f);
/* Say that there is no memory for it.  Returns -1. */
int carry_no_memory(struct carry_reader *r, const char *what);

/* ---- what rooms add to these groups: supervisor/carries.c ---- */

extern const struct carried carried_of_instance;
extern const struct carried carried_of_cluster;
extern const struct carried carried_of_worker;
/* Of drain/, for the group of the supervisor. */
extern const struct carried carried_asker;

#endif
