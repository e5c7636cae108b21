/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PART_H
#define SUPERVISOR_PART_H

#include "supervisor/common/state.h"

/*
 * What a room does when something happens to a worker, to a cluster or to the
 * instance.  Who it happens to (workers/child.c, workers/service.c, ...) knows no
 * room above the ground: it calls what is in the one list of parts.c, in its order.
 * A NULL is no business of that room's.
 *
 * The functions behind are named ROOM_on_DEED, so that a search for the deed finds
 * all that takes part in it.
 */
struct birth;
struct channel_speaker;
struct connection;
struct holding;
struct json_writer;
struct worker_kind;

struct kept {
	const struct state_entry *entry; /* as it was written down */
	int trap;                        /* where its calls come; or -1 */
	int channel;                     /* or -1 */
};

struct part {
	const char *name;

	/* ---- a worker's life, in this order ---- */

	/* Its struct was made: nothing is open. */
	void (*blank)(struct child *child);
	/* It is about to be started: what it is to get is put into `birth`.  -1 and
	 * `err`: it cannot be; `gone` follows, in all rooms. */
	int (*prepare)(
		struct child *child, struct birth *birth, struct error *err);
	/* It runs, and is in its slot. */
	void (*born)(struct child *child, struct birth *birth);
	/* An upgrade: its nclust is another one now, and goes on with it. */
	void (*resumed)(struct child *child);
	/* Is what it binds by itself to be its own, and not taken over? */
	bool (*keeps_own)(const struct child *child);
	/* It is to be emptied within that time: ACTION_DRAIN. */
	void (*drain)(struct child *child, nsec_t span);
	/* A drain looks at a connection of it: of how many does it not wait for the
	 * end?  Of a listener those in its queue count, else 0 or 1. */
	unsigned (*gives_up)(
		const struct child *child, const struct connection *c);
	/* It gets that stop signal, ACTION_SIGNAL.  True: this room sees to it, and
	 * nobody else is asked. */
	bool (*stop)(struct child *child, int signal);
	/* It is dead and not reaped yet, so its number is still its own. */
	void (*dying)(struct child *child);
	/* It is out of its slot and of the table of pids. */
	void (*left)(struct child *child);
	/* Give back all that it had.  Backwards; the core hears after that. */
	void (*gone)(struct child *child);

	/* ---- a worker that outlives nclust (`orphans = keep`) ---- */

	/* The descriptors of it that the next one will need, into `kept`. */
	void (*hold)(const struct child *child, struct kept *kept);
	/* An earlier nclust had it, and was killed: take of `kept` what is this
	 * room's, by fd_release(). */
	void (*adopt)(struct child *child, struct kept *kept);
	/* All such workers of a cluster are there. */
	void (*adopted)(struct service *service);

	/* ---- a cluster ---- */

	/* The core tells what has happened in it. */
	void (*report)(struct service *service, const struct report *report);
	/* Why a rollout has failed, as that report says, where this room knows more:
	 * into `to`. */
	void (*explain)(const struct service *service,
		const struct report *report, char *to, size_t size);
	/* The core is about to choose whom it drains next. */
	void (*choose)(struct service *service);
	/* All of it has ended, for good or until the next restart. */
	void (*ended)(struct service *service);
	/* Settings that need no rollout are in force. */
	void (*settings)(struct service *service);
	/* A reload has given it another name. */
	void (*renamed)(struct service *service, const char *old);
	/* A status: its members of the cluster's object, and of the worker's.  The
	 * latter backwards. */
	void (*status)(struct json_writer *w, const struct service *service);
	void (*status_worker)(struct json_writer *w, const struct child *child);
	/* It is about to be freed.  Backwards. */
	void (*drop)(struct service *service);

	/* ---- what is held for workers (sockets/holding.h) ---- */

	/* It is about to be opened.  1: what an earlier nclust had in its place is in
	 * it; 0: there is none, or nobody needs it any more; -1 and `err`. */
	int (*left_over)(struct holding *holding, struct error *err);
	/* It is about to be closed. */
	void (*let_go)(struct holding *holding);

	/* ---- the instance ---- */

	/* Is something under way for which the end of that cluster has to wait, or,
	 * with NULL, that of the instance? */
	bool (*busy)(struct supervisor *sup, const struct service *service);
	/* An upgrade: it goes on in the place of another nclust, as carried.  All
	 * workers are `resumed`. */
	void (*go_on)(struct supervisor *sup);
	/* It has ended, or its start has failed: give back all.  Backwards; no address
	 * is held any more, and the name is free. */
	void (*end)(struct supervisor *sup);
	/* Something was told (news.h), as a JSON object and as a sentence.  Of which
	 * cluster and by which report, or NULL. */
	void (*told)(struct supervisor *sup, struct service *service,
		const struct report *report, const char *json,
		const char *sentence);
	/* Files were removed from the runtime directory, which is there again: make
	 * your own anew.  -1 and `err`: that is tried again later. */
	int (*renew)(struct supervisor *sup, struct error *err);

	/* Another binary is about to take the place of this one: what is half done
	 * is done to its end. */
	void (*settle)(struct supervisor *sup);
	/* It has; or it could not, and the text says why. */
	void (*upgraded)(struct supervisor *sup, const char *text, bool failed);
	/* Is that cluster amid something that an upgrade has to wait for? */
	bool (*rolls)(const struct service *service);

	/* A logger was started, and has heard of the workers' output. */
	void (*logger_up)(struct supervisor *sup);
	/* A worker is about to get what the next nclust must know of, should this one
	 * be killed: sup->changed is not to wait until the turn ends. */
	void (*write_down)(struct supervisor *sup);

	/* ---- processes that are no workers ---- */

	/* Is that one its own? */
	bool (*owns)(const struct supervisor *sup, pid_t pid);
	/* One that it owns has ended. */
	void (*reap)(struct supervisor *sup, pid_t pid);

	/* ---- what there is one of ---- */

	/* It makes sense of the lines of one kind of channel (messages/channel.h). */
	const struct channel_speaker *speaker;
	/* It has clusters whose workers are not the core's (common/kind.h). */
	const struct worker_kind *kind;
};

/* All of them, in the order that counts (parts.c); NULL ends it. */
extern const struct part *const parts[];
extern const unsigned part_count;

/* Call a deed of each part that has one. */
#define PARTS(deed, ...) \
	do { \
		for (const struct part *const *part_ = parts; *part_ != NULL; \
			part_++) \
			if ((*part_)->deed != NULL) \
				(*part_)->deed(__VA_ARGS__); \
	} while (0)

/* The same from the last to the first. */
#define PARTS_BACKWARDS(deed, ...) \
	do { \
		for (unsigned part_ = part_count; part_-- > 0;) \
			if (parts[part_]->deed != NULL) \
				parts[part_]->deed(__VA_ARGS__); \
	} while (0)

#endif
