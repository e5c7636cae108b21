/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/control.h"
#include "supervisor/common/state.h"

/*
 * Moments: events in the life of a worker, of a cluster or of the instance.  The code that causes one
 * (workers/child.c, workers/service.c, ...) knows no room above the ground.  It calls the moment's
 * function, and supervisor/moments.c calls each room that takes part, in the moment's own order.  A
 * room's function is named ROOM_on_MOMENT, so that a search finds all of a moment.
 */
struct birth;
struct channel;
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
	bool begins;      /* else it is over */
	int code;         /* when it is over: 0, or of an error (protocol/control.h) */
	const char *text; /* and what has become of it; NULL: out of memory */
};

/* ---- a worker's life, in this order ---- */

/* The worker is about to be started: rooms add to `birth` what they give it.  -1 and `err`:
 * it is not started, and moment_gone() follows. */
int moment_prepare(struct child *child, struct birth *birth, struct error *err);
/* The worker runs, and is in its slot. */
void moment_born(struct child *child, struct birth *birth);
/* What the worker does with a listener. */
void moment_uses(struct child *child, struct listener *l, enum listener_use use);
/* A connect(2) of the command that checks the worker waits in that trap, to be answered now. */
void moment_connects(struct child *child, int trap);
/* ACTION_RELEASE: let a worker go on that intercept holds in its listen(2). */
void moment_release(struct child *child);
/* ACTION_DRAIN: drain the worker within that time, if `signal` is 0.  ACTION_SIGNAL: send
 * this stop signal. */
void moment_stop(struct child *child, int signal, nsec_t span);
/* The worker is dead but not reaped: its pid is still its own. */
void moment_dying(struct child *child);
/* The worker is in no slot and in no table of pids any more: release all that rooms have of
 * it.  Then the core gets the event. */
void moment_gone(struct child *child);

/* ---- a worker that outlives nclust (`orphans = keep`) ---- */

/* The worker is taken over from an nclust that was killed: each room takes its descriptors
 * out of `fds`, by fd_release(). */
void moment_adopt(struct child *child, struct worker_fds *fds);
/* All workers of the cluster that were to be taken over are. */
void moment_adopted(struct service *service);

/* ---- a cluster ---- */

/* The cluster is about to stop, `at_once` or not.  True: the stop has to wait, and
 * service_stop_now() is called later. */
bool moment_stopping(struct service *service, bool at_once);
/* A cluster has been made.  -1: no memory. */
int moment_begin(struct service *service);
/* The core reports what has happened in the cluster.  Of the process of a connection only accept
 * hears. */
void moment_report(struct service *service, const struct report *report);
void moment_connection_report(struct service *service, const struct report *report);
/* The core is about to choose which worker it drains next. */
void moment_choose(struct service *service);
/* A reload is over that has not failed, whatever it has changed (stage.live). */
void moment_reloaded(struct service *service);
/* Write the rooms' members of a status: into the cluster's object; and into the worker's. */
void moment_status(struct json_writer *w, const struct service *service);
void moment_status_worker(struct json_writer *w, const struct child *child);
/* The service is about to be freed. */
void moment_drop(struct service *service);

/* ---- listeners and segments (sockets/listener.h) ---- */

/* A listener, a socket of a listener, or a segment is about to be closed. */
void moment_let_go(struct holding *holding);

/* ---- message channels (messages/messages.h) ---- */

/* A line has come, without its '\n'; the bytes are valid for the call. */
void moment_line(struct channel *c, const char *line, size_t len);
/* The worker has closed the channel, or is dead: all lines were heard, and c->io.fd is -1. */
void moment_hung_up(struct channel *c);

/* ---- the instance ---- */

/* Resume after an upgrade: watch workers, clients and processes again. */
void moment_go_on(struct supervisor *sup);
/* The instance has ended, or could not start: release all.  All listeners are closed, and
 * the name is free. */
void moment_shutdown(struct supervisor *sup);
/* An event was published (news.h), as a JSON object and as a sentence; its cluster and the
 * core's report may be NULL. */
void moment_published(struct supervisor *sup, struct service *service, const struct report *report,
	const char *json, const char *sentence);
/* Files were removed from the runtime directory: make the rooms' files anew.  -1 and `err`: it
 * is called again later. */
int moment_renew(struct supervisor *sup, struct error *err);

/* A reload is about to put these settings in force: open what they need.  -1 and `err`: it fails. */
int moment_reload(struct supervisor *sup, const struct settings *settings, struct error *err);
/* An upgrade is about to execute the new binary: complete what is half done.  Or the verb is over. */
void moment_verb(struct supervisor *sup, const struct verb_step *verb);

/* What has to do with the logger. */
void moment_logger(struct supervisor *sup, enum logger_step step, struct service *service,
	const struct logwire_packet *packet);
/* Write the state for a next nclust now, because a worker is about to get what is new in
 * it, instead of at the end of the turn (sup->orphans.changed). */
void moment_write_down(struct supervisor *sup);
