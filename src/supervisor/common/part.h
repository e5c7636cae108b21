/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PART_H
#define SUPERVISOR_PART_H

#include "supervisor/common/childset.h"
#include "supervisor/common/state.h"

/*
 * A part is a room's table of hooks: functions that are called when something
 * happens to a worker, to a cluster or to the instance.  The caller
 * (workers/child.c, workers/service.c, ...) knows no room above the ground: it
 * calls the hook of each part in the list of parts.c, in that order.  NULL:
 * nothing.
 *
 * The functions are named ROOM_on_HOOK, so that a search finds all of a hook.
 */
struct birth;
struct channel_speaker;
struct holding;
struct json_writer;
struct logwire_packet;
struct reload_result;
struct worker_kind;

struct kept {
	const struct state_entry *entry; /* of the state file */
	int trap;                        /* its seccomp notify fd; or -1 */
	int channel;                     /* or -1 */
};

/* How many connections a worker got, as far as nclust can know that. */
struct dealt {
	bool known;
	uint64_t count; /* since any time: only what it grows by matters … */
	unsigned mates; /* … and so many workers got that together */
	int error;      /* why the kernel does not count; or 0 */
};

struct part {
	const char *name;

	/* ---- a worker's life, in this order ---- */

	/* The worker is about to be started: put what it is to get into
	 * `birth`.  -1 and `err`: it is not started; `gone` follows, in all
	 * rooms. */
	int (*prepare)(struct child *child, struct birth *birth, struct error *err);
	/* The worker runs, and is in its slot. */
	void (*born)(struct child *child, struct birth *birth);
	/* One of its descriptors can perhaps be read (childset.h).  Rooms whose
	 * it is not may not look at the child: it may be released already. */
	void (*readable)(struct child *child, enum child_fd which);
	/* After an upgrade: watch the worker again. */
	void (*resumed)(struct child *child);
	/* The worker is about to get this listener by its bind(2), or it is
	 * made of the worker's `own` socket. */
	void (*provide)(struct child *child, struct listener *l, bool own);
	/* It has called listen(2) there, and takes connections from now on. */
	void (*listens)(struct child *child);
	/* Is its bind(2) left alone, so that nclust keeps nothing? */
	bool (*keeps_own)(const struct child *child);
	/* ACTION_DRAIN: drain the worker within that time. */
	void (*drain)(struct child *child, nsec_t span);
	/* Add how many connections this room gave, or saw given, to it. */
	void (*given)(const struct child *child, struct dealt *to);
	/* This spare is about to listen there, where no client may come until
	 * its release. */
	void (*aside)(struct child *child, struct listener *l);
	/* ACTION_RELEASE: let the worker go on that waits at the gate. */
	void (*release)(struct child *child);
	/* ACTION_SIGNAL: send that stop signal.  True: this room does so, and
	 * the next rooms are not asked. */
	bool (*stop)(struct child *child, int signal);
	/* The worker is dead but not reaped: its pid is still its own. */
	void (*dying)(struct child *child);
	/* It was removed from its slot and from the table of pids, or was never
	 * there: release all of it.  Backwards; after that the core gets the event. */
	void (*gone)(struct child *child);

	/* ---- a worker that outlives nclust (`orphans = keep`) ---- */

	/* Put the descriptors that the next nclust will need into `kept`. */
	void (*hold)(const struct child *child, struct kept *kept);
	/* The worker of an earlier nclust, which was killed: take this room's
	 * descriptors out of `kept`, by fd_release(). */
	void (*adopt)(struct child *child, struct kept *kept);
	/* All such workers of the cluster were taken over. */
	void (*adopted)(struct service *service);

	/* ---- a cluster ---- */

	/* It is about to stop, `at_once` or not.  True: that has to wait, and
	 * this room calls service_stop_now() later; the next rooms are not
	 * asked. */
	bool (*stopping)(struct service *service, bool at_once);
	/* The core reports what has happened in the cluster. */
	void (*report)(struct service *service, const struct report *report);
	/* `report` says that a rollout has failed, or that there are no spares:
	 * if this room knows more about the cause, write it into `to`. */
	void (*explain)(
		const struct service *service, const struct report *report, char *to, size_t size);
	/* The core is about to choose which worker it drains next. */
	void (*choose)(struct service *service);
	/* All workers have ended, for good or until the next restart. */
	void (*ended)(struct service *service);
	/* Settings that need no rollout are in force. */
	void (*settings)(struct service *service);
	/* A reload has given the cluster another name. */
	void (*renamed)(struct service *service, const char *old);
	/* Write this room's members of a status: into the cluster's object, and
	 * into the worker's (that backwards). */
	void (*status)(struct json_writer *w, const struct service *service);
	void (*status_worker)(struct json_writer *w, const struct child *child);
	/* The service is about to be freed.  Backwards. */
	void (*drop)(struct service *service);

	/* ---- what is held for workers (sockets/holding.h) ---- */

	/* It is about to be opened.  1: an earlier nclust had one, which was
	 * put into `holding`; 0: there is none, or none is needed; -1 and
	 * `err`. */
	int (*left_over)(struct holding *holding, struct error *err);
	/* It is about to be closed. */
	void (*let_go)(struct holding *holding);

	/* ---- the instance ---- */

	/* After an upgrade: resume.  All workers were `resumed` before. */
	void (*go_on)(struct supervisor *sup);
	/* The instance has ended, or could not start: release all.  Backwards;
	 * no address is held any more, and the name is free. */
	void (*end)(struct supervisor *sup);
	/* An event was published (news.h), as a JSON object and as a sentence;
	 * with its cluster and the core's report, or NULL. */
	void (*told)(struct supervisor *sup, struct service *service, const struct report *report,
		const char *json, const char *sentence);
	/* Files were removed from the runtime directory, which exists again:
	 * make this room's files anew.  Backwards; -1 and `err`: all of them are
	 * called again later. */
	int (*renew)(struct supervisor *sup, struct error *err);

	/* Just before an upgrade: complete what is half done. */
	void (*settle)(struct supervisor *sup);
	/* An upgrade is done, or has failed; `text` says more. */
	void (*upgraded)(struct supervisor *sup, const char *text, bool failed);
	/* A reload is about to put these settings in force: open what they
	 * need.  -1 and `err`: nothing changes.  `reloaded` follows. */
	int (*reload)(struct supervisor *sup, const struct settings *settings, struct error *err);
	/* A reload has changed what `result` says; or `failed`, and nothing is
	 * changed. */
	void (*reloaded)(struct supervisor *sup, struct reload_result *result, bool failed);
	/* Must an upgrade wait for something that this cluster does? */
	bool (*rolls)(const struct service *service);

	/* The output of one more slot is kept (workers/slotlog.h). */
	void (*log_begun)(struct supervisor *sup);
	/* A worker's output is about to be handed to the logger, which may be
	 * another one than that of the worker before. */
	void (*handing)(struct service *service);
	/* The logger asks for something (protocol/logwire.h). */
	void (*logger_asks)(struct supervisor *sup, const struct logwire_packet *packet);
	/* A logger was started, and has the pipes of the workers. */
	void (*logger_up)(struct supervisor *sup);
	/* Write the state for the next nclust now, before a worker gets what is
	 * new in it, instead of at the end of the turn (sup->orphans.changed). */
	void (*write_down)(struct supervisor *sup);

	/* ---- what only some rooms have ---- */

	/* Understands the lines of one kind of channel (messages/channel.h). */
	const struct channel_speaker *speaker;
	/* The kind of clusters whose slots this room fills (common/kind.h). */
	const struct worker_kind *kind;
};

/* All parts, in the order in which hooks are called (parts.c); ends with
 * NULL. */
extern const struct part *const parts[];
extern const unsigned part_count;

/* Call a hook of each part that has it. */
#define PARTS(deed, ...) \
	do { \
		for (const struct part *const *part_ = parts; *part_ != NULL; part_++) \
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
