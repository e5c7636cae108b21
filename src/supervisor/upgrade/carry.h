/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CARRY_H
#define SUPERVISOR_CARRY_H

#include "protocol/handover.h"
#include "supervisor/common/state.h"

/*
 * All that a running nclust is, as one state (protocol/handover.h), and back:
 * how it goes on as another binary, in the same process.  Descriptors keep
 * their numbers; the state says which they are.
 *
 * Of each struct of state.h a table (carry_tables.c) says what is carried;
 * what stands in none of them is made anew, or is of no use any more.
 */

/* The kinds of fields at the top, and in groups.  Numbers are for ever. */
enum carry_tag {
	CARRY_BINARY = 1,
	CARRY_SUPERVISOR,
	CARRY_SETTINGS, /* of clusters; others refer to them by their order */
	CARRY_INSTANCE,
	CARRY_LISTENER, /* so too */
	CARRY_INHERITED,
	CARRY_SERVICE, /* so too */
	CARRY_CLIENT,
	CARRY_CLIENTS, /* the control socket */
	CARRY_HISTORY,
	CARRY_NEWS,
	CARRY_MANAGER,
	CARRY_DESCRIPTORS,
	CARRY_HOOKS,
	CARRY_ENDING,  /* helpers that nobody waits for any more */
	CARRY_SEGMENT, /* as listeners */

	/* in a group, behind the numbers of its struct's table */
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
	CARRY_MARK, /* of a queue: where a descriptor goes, behind CARRY_OUT */
	CARRY_HELPER,
	CARRY_HOOK,
	CARRY_FACTS,
	CARRY_SOCKET, /* of several of a listener */
	CARRY_ACCEPTING,
	CARRY_VISIT,
	CARRY_MEMORY, /* index of a segment */
	CARRY_FORMER, /* so too */
	CARRY_NODE,   /* of a cluster, and of a worker: node.h */
	CARRY_NODE_SERVER,
	CARRY_NODE_USE,
	CARRY_NODE_FLIGHT,
	CARRY_NODE_WAIT,
	CARRY_DATA,
	CARRY_TROUBLE,
	CARRY_PORTS,

	/* nobody knows it: for tests of what is not known */
	CARRY_UNKNOWN = 8000,
};

/* What differs between builds that tests take for versions (variant.c). */
struct carry_variant {
	struct handover_version version; /* that is written */
	const char *program;             /* NCLUST_VERSION, or so */
	bool more; /* writes fields that nobody knows … */
	bool less; /* … and leaves out some that all know, nor may its logger
		      copy output */
	int fault; /* enum carry_fault */
};
enum carry_fault {
	FAULT_NONE,
	FAULT_CHECK_CRASHES,
	FAULT_CHECK_HANGS,
	FAULT_RESTORE_FAILS,    /* after the exec */
	FAULT_TAKEOVER_CRASHES, /* and when there is no way back */
};
extern const struct carry_variant carry_variant;

/* What the state says of the program that wrote it. */
struct carry_binary {
	char version[64];
	char path[4096]; /* it was started by; what an upgrade executes */
	int image;       /* O_PATH of it: to go back to */
	pid_t pid;
	nsec_t written;
	nsec_t asked; /* when the upgrade was */
	uint64_t capabilities;
	int standby;     /* -1, or as resume.c has it */
	bool going_back; /* set by the one that does */
};

/* ---- writing ---- */

struct carry_list {
	const void **list;
	size_t count;
	size_t cap;
};

struct carry_writer {
	struct supervisor *sup;
	struct handover_writer w;
	struct buffer out;
	struct carry_list settings;
	struct carry_list listeners;
	struct carry_list segments;
	struct buffer descriptors; /* three words each */
	size_t queued;             /* bytes of the channels' queues */
	bool lasting;
};

/* Everything, into c->out.  Changes nothing.  `lasting`: the descriptors shall
 * be known again.  -1 and `err`; to be freed in either case. */
int carry_save(struct carry_writer *c, struct supervisor *sup, bool lasting,
	const struct carry_binary *binary, struct error *err);
void carry_fini(struct carry_writer *c);

/* ---- reading ---- */

struct carry_reader {
	struct supervisor *sup;
	struct handover_reader all;
	struct handover_version version;
	struct carry_binary binary;
	struct cluster_settings **settings; /* a reference each */
	size_t settings_count;
	struct listener **listeners; /* a use each */
	size_t listener_count;
	struct segment **segments; /* so too */
	size_t segment_count;
	const char *descriptors; /* inside the state; three words each */
	size_t descriptor_count;
	unsigned skipped; /* settings that are not known here */
	char skipped_key[40];
};

/*
 * Make *sup of a state, in memory: nothing is opened, watched or changed.
 * -1 and `err`: it cannot be done, and what was made is of no use but to be
 * forgotten by an exec.
 */
int carry_load(struct carry_reader *r, struct supervisor *sup, const void *data,
	size_t len, struct error *err);
/* Uses that the reader holds are given back. */
void carry_release(struct carry_reader *r);

/* Is each descriptor of ours, and each worker, what the state says? */
int carry_verify(const struct carry_reader *r, struct error *err);
/* In a list of descriptors, for each. */
#define CARRY_DESCRIPTOR_SIZE 24
/* May they go through an exec?  0, or -1 and errno. */
int carry_keep_descriptors(const char *descriptors, size_t count, bool keep);
/* The n-th of them. */
int carry_descriptor(const char *descriptors, size_t n);

/* ---- for the files carry*.c ---- */

enum carry_struct {
	PLAIN_SUPERVISOR,
	PLAIN_BINARY,
	PLAIN_CLUSTER_SETTINGS,
	PLAIN_INSTANCE,
	PLAIN_LISTENER,
	PLAIN_SERVICE,
	PLAIN_CHILD,
	PLAIN_CLIENT,
	PLAIN_CLIENTS,
	PLAIN_EXPECTATION,
	PLAIN_NEWS,
	PLAIN_RECIPE,
	PLAIN_HEALTH,
	PLAIN_SOCKET,
	PLAIN_CHANNEL,
	PLAIN_MARK,
	PLAIN_HELPER,
	PLAIN_HOOKS,
	PLAIN_HOOK,
	PLAIN_ACCEPTING,
	PLAIN_VISIT,
	PLAIN_SEGMENT,
	PLAIN_NODE_CLUSTER,
	PLAIN_NODE_SERVER,
	PLAIN_NODE_WAIT,
	PLAIN_NODE_WORKER,
	PLAIN_NODE_USE,
	PLAIN_NODE_FLIGHT,
	CARRY_STRUCTS,
};
extern const struct plain_table carry_tables[CARRY_STRUCTS];

/* A struct's members, and its descriptors noted. */
void carry_put(struct carry_writer *c, enum carry_struct which, const void *of);
/* A field of a group: stored, if it is a member.  1, 0; -1 and `err`. */
int carry_take(enum carry_struct which, void *to,
	const struct handover_field *f, struct error *err);
void carry_clear(enum carry_struct which, void *to);

size_t carry_add(struct carry_list *list, const void *item); /* its index */

void carry_put_settings(struct carry_writer *c);
void carry_put_instance(struct carry_writer *c);
int carry_get_settings(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_instance(struct carry_reader *r, const struct handover_field *f,
	struct error *err);

void carry_put_listeners(struct carry_writer *c);
void carry_put_set(
	struct carry_writer *c, unsigned tag, const struct listener_set *set);
int carry_get_listener(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_inherited(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
/* `room`: for more than are in it. */
int carry_get_set(struct carry_reader *r, const struct handover_field *f,
	struct listener_set *set, size_t room, struct error *err);

void carry_put_segments(struct carry_writer *c);
/* NULL: nothing is put. */
void carry_put_memory(
	struct carry_writer *c, unsigned tag, const struct segment *segment);
int carry_get_segment(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_memory(struct carry_reader *r, const struct handover_field *f,
	struct segment **segment, struct error *err);

void carry_put_core(struct carry_writer *c, const struct cluster *core);
int carry_get_core(struct carry_reader *r, const struct handover_field *f,
	struct cluster **core, struct error *err);

void carry_put_services(struct carry_writer *c);
void carry_put_channel(struct carry_writer *c, const struct channel *channel);
int carry_get_channel(
	struct child *child, const struct handover_field *f, struct error *err);

/* Before the workers, which refer to it. */
void carry_put_node(struct carry_writer *c, const struct node_cluster *n);
int carry_get_node(struct carry_reader *r, struct service *s,
	const struct handover_field *f, struct error *err);
void carry_put_node_worker(struct carry_writer *c, const struct node_worker *w);
int carry_get_node_worker(struct service *s, struct child *child,
	const struct handover_field *f, struct error *err);

int carry_get_service(struct carry_reader *r, const struct handover_field *f,
	struct error *err);

void carry_put_clients(struct carry_writer *c);
int carry_get_clients(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_client(struct carry_reader *r, const struct handover_field *f,
	struct error *err);

void carry_put_news(struct carry_writer *c);
int carry_get_news(struct carry_reader *r, const struct handover_field *f,
	struct error *err);

/* Settings that only a hook refers to. */
void carry_collect_hooks(struct carry_writer *c);
void carry_put_hooks(struct carry_writer *c);
void carry_put_helper(struct carry_writer *c, const struct helper *h);
int carry_get_hooks(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_ending(struct carry_reader *r, const struct handover_field *f,
	struct error *err);
int carry_get_helper(struct carry_reader *r, const struct handover_field *f,
	struct helper **to, struct error *err);

/* The sentence for a state that does not say what it must.  Returns -1. */
int carry_bad(struct error *err, const char *what);

#endif
