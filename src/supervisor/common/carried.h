/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/handover.h"
#include "supervisor/common/state.h"

/*
 * What an upgrade carries.  nclust executes the new binary in its own process, and hands its state
 * over as numbered fields, in groups (protocol/handover.h); descriptors keep their numbers.  Each
 * struct that is carried has a `struct carried`, which supervisor/carries.c or the `struct carried`
 * of the containing struct names.  The functions here write a struct as a group of fields, and read
 * it back.
 *
 * Reading a state opens, watches and changes nothing, because it may be a mere check that the state
 * can be read.  supervisor/resume.c does the rest.
 */

/* The numbers of fields at the top level, and of fields in groups that no table of rows has.  A
 * number is never changed or used again. */
enum carry_tag {
	CARRY_BINARY = 1,
	CARRY_SUPERVISOR,
	CARRY_SETTINGS, /* of a cluster; other groups refer to settings by their order */
	CARRY_INSTANCE,
	CARRY_LISTENER, /* referred to by order */
	CARRY_INHERITED,
	CARRY_SERVICE, /* referred to by order */
	CARRY_CLIENT,
	CARRY_CLIENTS, /* the control socket */
	CARRY_HISTORY,
	CARRY_NEWS, /* of earlier versions */
	CARRY_MANAGER,
	CARRY_DESCRIPTORS, /* of earlier versions: what each descriptor was */
	CARRY_HOOKS,
	CARRY_ENDING,  /* helpers that no hook waits for any more */
	CARRY_SEGMENT, /* referred to by order */

	/* in groups, above the numbers of rows */
	CARRY_TEXT = 100,
	CARRY_PAIR, /* bytes: key and value, with a NUL between */
	CARRY_WORD,
	CARRY_ORIGIN,
	CARRY_CLUSTER, /* of an instance: the index of a cluster's settings */
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
	CARRY_EARLY, /* of earlier versions */
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
	CARRY_MARK, /* of a queue: at which byte a descriptor goes, after CARRY_OUT */
	CARRY_HELPER,
	CARRY_HOOK,
	CARRY_FACTS,
	CARRY_SOCKET, /* one of several sockets of a listener */
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

/* How the builds differ that tests use as other versions of nclust (variant.c). */
struct carry_variant {
	struct handover_version version; /* of the state that this build writes */
	const char *program;             /* NCLUST_VERSION, or what stands for it */
	bool more;                       /* this build writes fields that no reader knows */
	bool less;                       /* it leaves out texts that a reader can do without */
	int fault;                       /* enum carry_fault */
};
enum carry_fault {
	FAULT_NONE,
	FAULT_CHECK_CRASHES,
	FAULT_CHECK_HANGS,
	FAULT_RESTORE_FAILS,    /* after the exec */
	FAULT_TAKEOVER_CRASHES, /* when nclust cannot go back any more */
};
extern const struct carry_variant carry_variant;

/* What the state says of the program that wrote it. */
struct carry_binary {
	char version[64];
	char path[4096]; /* the path by which nclust was started; an upgrade executes it */
	int image;       /* O_PATH of this binary, for the way back */
	pid_t pid;
	nsec_t written;
	nsec_t asked; /* when the upgrade was asked for */
	uint64_t capabilities;
	bool going_back; /* set by a new binary that goes back to the old one */
};

/* Kinds of structs to which several others refer: each is written once, and referred to by its
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

struct carry_writer {
	struct supervisor *sup;
	struct handover_writer w;
	struct buffer out;
	struct carry_list lists[CARRY_KINDS];
	struct buffer descriptors; /* int: all that the state names */
	size_t queued;             /* bytes of the queues of channels so far */
};

struct carry_reader {
	struct supervisor *sup;
	struct error *err;
	struct handover_version version;
	struct carry_binary binary;
	struct carry_list lists[CARRY_KINDS]; /* the reader has a reference or a use of each */
	unsigned skipped;                     /* keys that this version does not know */
	char skipped_key[40];
};

/* How a struct is carried as a group of fields. */
struct carried {
	const struct plain_row *rows; /* also of enum carry_row */
	uint16_t row_count;           /* CARRIED_ROWS() */
	uint16_t size;
	const char *called; /* for the error "the state of CALLED is not understood" */

	/* All functions may be NULL.  `put` writes fields that have no row, after the rows. */
	void (*put)(struct carry_writer *c, const void *of);
	/* Read a field that has no row; called before the rows are searched.  1: it was stored; 0:
	 * it is not known; -1: it is invalid (r->err may say more). */
	int (*take)(struct carry_reader *r, void *to, const struct handover_field *f);
	/* All fields of the group were read.  -1: the struct is invalid. */
	int (*done)(struct carry_reader *r, void *to);
	/* Make an empty struct for that owner.  NULL: no memory.  Without this function the struct
	 * is zeros, in the place that the owner's row says. */
	void *(*make)(struct carry_reader *r, void *owner);
};
#define CARRIED_ROWS(list, type) \
	.rows = (list), .row_count = sizeof(list) / sizeof((list)[0]), .size = sizeof(struct type)

/* Kinds of rows, in addition to those of protocol/handover.h. */
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
	CARRY_ROW_APART,
	CARRY_ROW_BYTES,
	CARRY_ROW_TEXTS,
};
#define CARRY_MEMBER(number, row_kind, type, member_of, ...) \
	{ \
		.tag = (number), .kind = (row_kind), .offset = offsetof(struct type, member_of), \
		.size = sizeof(void *), __VA_ARGS__ \
	}
/* A pointer to a struct that others refer to.  Reading it adds a reference or a use. */
#define CARRY_REFERENCE(number, type, member_of, kind_of, need) \
	CARRY_MEMBER( \
		number, CARRY_ROW_REFERENCE, type, member_of, .must = (need), .each = (kind_of))
/* An array of such pointers, and its length (size_t). */
#define CARRY_REFERENCES(number, type, member_of, kind_of, count_of) \
	CARRY_MEMBER(number, CARRY_ROW_REFERENCES, type, member_of, \
		.most = offsetof(struct type, count_of), .each = (kind_of))
/* All structs of a kind that others refer to. */
#define CARRY_REFERRED(number, of, kind_of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_REFERRED, .most = (kind_of), .what = (of) \
	}
/* A pointer to the first struct of a list, and the member that points to the next. */
#define CARRY_LIST(number, type, member_of, of, element, next_of) \
	CARRY_MEMBER(number, CARRY_ROW_LIST, type, member_of, .what = (of), \
		.most = offsetof(struct element, next_of))
/* A pointer to an array of structs, or of pointers to structs, and its length (size_t). */
#define CARRY_ARRAY(number, type, member_of, of, count_of) \
	CARRY_MEMBER(number, CARRY_ROW_ARRAY, type, member_of, .what = (of), \
		.most = offsetof(struct type, count_of))
#define CARRY_POINTERS(number, type, member_of, of, count_of) \
	CARRY_MEMBER(number, CARRY_ROW_POINTERS, type, member_of, .what = (of), \
		.most = offsetof(struct type, count_of))
/* A pointer to a struct, or NULL. */
#define CARRY_GROUP(number, type, member_of, of) \
	CARRY_MEMBER(number, CARRY_ROW_GROUP, type, member_of, .what = (of))
/* A member that is a struct; and the containing struct again, in a group of its own. */
#define CARRY_INSIDE(number, type, member_of, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_INSIDE, \
		.offset = offsetof(struct type, member_of), .what = (of) \
	}
#define CARRY_ITSELF(number, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_INSIDE, .what = (of) \
	}
/* More fields of the same struct, in the same group, which another `struct carried` describes. */
#define CARRY_BESIDE(of) \
	{ \
		.kind = CARRY_ROW_BESIDE, .what = (of) \
	}
/* More fields in the same group: those of a struct on the heap, which is made for the first of them
 * that is read.  A pointer to that struct, or NULL. */
#define CARRY_APART(type, member_of, of) \
	CARRY_MEMBER(0, CARRY_ROW_APART, type, member_of, .what = (of))
/* Groups that `put` writes; `make` of each puts the new struct where it belongs. */
#define CARRY_EACH(number, of) \
	{ \
		.tag = (number), .kind = CARRY_ROW_EACH, .what = (of) \
	}
/* A pointer to an array of numbers, or NULL, and its length (size_t). */
#define CARRY_BYTES(number, type, member_of, count_of) \
	CARRY_MEMBER(number, CARRY_ROW_BYTES, type, member_of, \
		.most = offsetof(struct type, count_of), \
		.each = sizeof(*((struct type *)NULL)->member_of))
/* A member that is a list of texts (struct strings). */
#define CARRY_TEXTS(number, type, member_of) \
	CARRY_MEMBER(number, CARRY_ROW_TEXTS, type, member_of, \
		.most = offsetof(struct type, member_of.count))

/* ---- writing ---- */

/* Write the fields of a group without its head. */
void carry_put_all(struct carry_writer *c, const struct carried *what, const void *of);
/* Write a group; `of` NULL: nothing. */
void carry_put_one(
	struct carry_writer *c, unsigned tag, const struct carried *what, const void *of);
/* Write a field with the index of `item` among its kind; `item` NULL: nothing. */
void carry_put_index(struct carry_writer *c, unsigned tag, enum carry_kind kind, const void *item);
void carry_fini(struct carry_writer *c);

/* ---- reading ---- */

/* Fill *to with the fields of a group.  1; or -1 and r->err.  `to` NULL: r->err says that there was
 * no memory for it. */
int carry_get_one(struct carry_reader *r, const struct carried *what, void *to,
	const struct handover_field *f);
/* The same without the group's head. */
int carry_get_all(
	struct carry_reader *r, const struct carried *what, void *to, struct handover_reader *in);
/* The struct that an index refers to, or NULL. */
void *carry_at(const struct carry_reader *r, enum carry_kind kind, const struct handover_field *f);
/* Set r->err: there is no memory for `what`.  Returns -1. */
int carry_no_memory(struct carry_reader *r, const char *what);

/* ---- what rooms add to these groups: supervisor/carries.c ---- */

extern const struct carried carried_of_instance;
extern const struct carried carried_of_cluster;
extern const struct carried carried_of_worker;
/* Of the room drain, for the group of the supervisor. */
extern const struct carried carried_monitor;

/* ---- carry settings ---- */

/* Settings as bytes, and back, with the users and groups that were looked up for them. */

extern const struct carried carried_cluster; /* settings of a cluster */
extern const struct carried carried_instance;

/* Write settings without any other state into c->out.  -1: out of memory; call carry_fini() in
 * either case. */
int settings_write(struct carry_writer *c, struct settings *s);
/* Read what settings_write() has written.  The caller owns the settings; NULL and `err`. */
struct settings *settings_read(const void *data, size_t len, struct error *err);

/* A copy of a cluster's settings, with one reference, the caller's; NULL and `err`. */
struct cluster_settings *settings_copy(const struct cluster_settings *of, struct error *err);
