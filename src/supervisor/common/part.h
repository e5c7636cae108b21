/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PART_H
#define SUPERVISOR_PART_H

#include "protocol/control.h"
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

struct worker_fds {
	const struct state_entry *entry; /* the worker's, in the state file */
	int trap;                        /* the worker's seccomp notify fd; or -1 */
	int channel;                     /* nclust's end of its message channel; or -1 */
};

enum listener_use {
	USE_GIVEN,         /* it is about to get the listener by its bind(2) */
	USE_OWN,           /* the same, and the listener is made from its own socket */
	USE_LISTENS,       /* it has called listen(2), and takes connections from now on */
	USE_SPARE_LISTENS, /* a spare is about to listen, and no client may come until its release */
};

enum logger_step {
	LOGGER_UP,   /* a new logger has the pipes of all workers */
	LOGGER_GETS, /* a worker's output of `service` is about to be handed to it */
	LOGGER_ASKS, /* it has sent `packet` (protocol/logwire.h) */
};

/* What a verb does with the whole instance. */
struct verb_step {
	enum control_method method;
	bool begins;                     /* else it is over */
	const struct settings *settings; /* of a reload that begins */
	struct error *err;               /* why it fails then */
	int code;         /* when it is over: 0, or of an error (protocol/control.h) */
	const char *text; /* and what has become of it; NULL: out of memory */
};

struct part {
	const char *name;

	/* ---- a worker's life, in this order ---- */

	/* The worker is about to be started: add to `birth` what this room gives it.  -1 and `err`:
	 * it is not started, and `gone` of all rooms follows. */
	int (*prepare)(struct child *child, struct birth *birth, struct error *err);
	/* The worker runs, and is in its slot. */
	void (*born)(struct child *child, struct birth *birth);
	/* What the worker does with a listener. */
	void (*uses)(struct child *child, struct listener *l, enum listener_use use);
	/* ACTION_RELEASE: let a worker go on that intercept holds in its listen(2). */
	void (*release)(struct child *child);
	/* ACTION_DRAIN: drain the worker within that time, if `signal` is 0.  ACTION_SIGNAL: send
	 * this stop signal.  True: this room does it, and no other room is asked. */
	bool (*stop)(struct child *child, int signal, nsec_t span);
	/* The worker is dead but not reaped: its pid is still its own. */
	void (*dying)(struct child *child);
	/* The worker is in no slot and in no table of pids any more: release all that this room has
	 * of it.  Called from the last room to the first; then the core gets the event. */
	void (*gone)(struct child *child);

	/* ---- a worker that outlives nclust (`orphans = keep`) ---- */

	/* The worker is taken over from an nclust that was killed: take this room's descriptors out
	 * of `fds`, by fd_release(). */
	void (*adopt)(struct child *child, struct worker_fds *fds);
	/* All workers of the cluster that were to be taken over are. */
	void (*adopted)(struct service *service);

	/* ---- a cluster ---- */

	/* The cluster is about to stop, `at_once` or not.  True: the stop has to wait, this room
	 * calls service_stop_now() later, and no other room is asked. */
	bool (*stopping)(struct service *service, bool at_once);
	/* A cluster has been made.  -1: no memory. */
	int (*begin)(struct service *service);
	/* The core reports what has happened in the cluster.  Of the process of a connection only a
	 * part that serves them hears. */
	void (*report)(struct service *service, const struct report *report);
	bool serves_connections;
	/* The core is about to choose which worker it drains next. */
	void (*choose)(struct service *service);
	/* A reload is over that has not failed, whatever it has changed (stage.live). */
	void (*reloaded)(struct service *service);
	/* Write this room's members of a status: into the cluster's object; and into the worker's,
	 * from the last room to the first. */
	void (*status)(struct json_writer *w, const struct service *service);
	void (*status_worker)(struct json_writer *w, const struct child *child);
	/* The service is about to be freed.  Called from the last room to the first. */
	void (*drop)(struct service *service);

	/* ---- listeners and segments (sockets/sockets.h) ---- */

	/* A listener, a socket of a listener, or a segment is about to be closed. */
	void (*let_go)(struct holding *holding);

	/* ---- the instance ---- */

	/* Resume after an upgrade: watch workers, clients and processes again. */
	void (*go_on)(struct supervisor *sup);
	/* The instance has ended, or could not start: release all.  Called from the last room to
	 * the first, when all listeners are closed and the name is free. */
	void (*shutdown)(struct supervisor *sup);
	/* An event was published (news.h), as a JSON object and as a sentence; its cluster and the
	 * core's report may be NULL. */
	void (*told)(struct supervisor *sup, struct service *service, const struct report *report,
		const char *json, const char *sentence);
	/* Files were removed from the runtime directory: make this room's files anew.  -1 and `err`:
	 * all rooms are called again later. */
	int (*renew)(struct supervisor *sup, struct error *err);

	/* An upgrade is about to execute the new binary: complete what is half done; or a reload to
	 * put its settings in force: open what they need (-1: it fails).  Or the verb is over. */
	int (*verb)(struct supervisor *sup, const struct verb_step *verb);

	/* What has to do with the logger. */
	void (*logger)(struct supervisor *sup, enum logger_step step, struct service *service,
		const struct logwire_packet *packet);
	/* Write the state for a next nclust now, because a worker is about to get what is new in
	 * it, instead of at the end of the turn (sup->orphans.changed). */
	void (*write_down)(struct supervisor *sup);

	/* ---- members that few rooms have ---- */

	/* Reads the lines of a kind of channel (messages/messages.h). */
	const struct channel_speaker *speaker;
};

/* All parts, in the order in which their hooks are called (parts.c); NULL ends the list. */
extern const struct part *const parts[];
extern const unsigned part_count;

/* Call a hook of each part that has it. */
#define PARTS(hook, ...) \
	do { \
		for (const struct part *const *part_ = parts; *part_ != NULL; part_++) \
			if ((*part_)->hook != NULL) \
				(*part_)->hook(__VA_ARGS__); \
	} while (0)

/* The same from the last to the first. */
#define PARTS_BACKWARDS(hook, ...) \
	do { \
		for (unsigned part_ = part_count; part_-- > 0;) \
			if (parts[part_]->hook != NULL) \
				parts[part_]->hook(__VA_ARGS__); \
	} while (0)

#endif
