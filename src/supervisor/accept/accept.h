/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ACCEPT_H
#define SUPERVISOR_ACCEPT_H

#include "os/socket/endpoint.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

extern const struct part accept_part;

/*
 * `accept = yes`: nclust accepts connections, and starts the command once for each
 * (man/nclust-accept.7).  The core then has no workers: it keeps generations and settings, and
 * whether the cluster runs.  The process that serves a connection is a child in a slot of the
 * service (child.h); its visit here has the same slot.
 *
 * nclust accepts connections only while there is a free slot.  Further connections wait in the
 * kernel's queue, which costs nothing.
 */
enum visit_phase {
	VISIT_NONE,
	VISIT_SERVED,   /* until the process exits, or the visit's deadline */
	VISIT_STOPPING, /* the process has got a stop signal */
	VISIT_KILLED,
};

struct visit {
	struct peer peer;
	enum visit_phase phase;
	unsigned step;   /* STOPPING: index into settings->stop */
	nsec_t born;     /* when its process was started */
	nsec_t deadline; /* of the phase; NSEC_NEVER */
};

/* Kinds of trouble that are logged only now and then. */
enum accepting_trouble { TROUBLE_LACK, TROUBLE_COMMAND, TROUBLE_CRASH, TROUBLES };

#define LEAVING_MAX 16

struct accepting {
	struct service *service;
	unsigned limit;       /* of processes that run at once */
	unsigned running;     /* processes; may exceed the limit after a scale */
	uint32_t turn;        /* the slot after the last one that got a signal in turn */
	struct visit *visits; /* by slot; as many as service->child_slots */
	uint32_t visit_slots;

	bool open;                     /* nclust accepts; else a stop is under way or over */
	bool stopping;                 /* a stop waits until no process runs */
	bool unwatched;                /* no listener is watched: there was no free slot */
	struct listener_set listeners; /* holds a use of each */
	ev_io *acceptors;              /* one for each listener */

	ev_timer due;        /* for the next deadline of a visit, and these: */
	nsec_t paused_until; /* after a lack of descriptors or processes; or 0 */
	nsec_t leave_at;     /* when to close `leaving`; or 0 */
	int pending;         /* an accepted connection that waits for its start; or -1 */
	struct peer pending_peer;
	size_t pending_index;     /* of its listener */
	nsec_t said_at[TROUBLES]; /* when each kind of trouble was logged last */

	/* Refused connections stay open for a moment: data that arrives after a close would reset
	 * them before the client reads the answer. */
	int leaving[LEAVING_MAX]; /* the oldest first */
	unsigned leaving_count;

	uint64_t served; /* processes that were started */
	uint64_t refused;
	uint64_t timed_out;
	uint64_t not_started; /* connections whose command could not be executed */
	uint64_t exits[256];  /* by exit status */
	uint64_t signals[65]; /* by the signal that killed the process */
	uint64_t unknown;     /* taken over, so their exit status is not known */
};

/* Stops watching, and releases the listeners. */
void accepting_close(struct service *service);

/* How an `accept` cluster and one visit go through an upgrade. */
extern const struct carried carried_accepting;
extern const struct carried carried_visit;
/* Makes an empty `struct accepting`, which an upgrade fills. */
void *accepting_carried(struct carry_reader *r, void *owner);

/* ---- between accepting.c and visits.c ---- */

/* May this trouble be logged again?  If so, it counts as logged. */
bool accepting_may_tell(struct accepting *a, enum accepting_trouble which);
struct visit *visit_begin(struct accepting *a, uint32_t slot);
/* A free slot, or SLOT_ALL. */
uint32_t visit_slot(const struct accepting *a);
/* How many connections of this client address are served. */
unsigned visit_count(const struct accepting *a, const struct peer *peer);
/* Ends the visits whose time is over.  Returns the next deadline, or NSEC_NEVER. */
nsec_t visits_look(struct accepting *a, nsec_t now);
/* Lets `due` expire at that time; 0 and NSEC_NEVER: not for this. */
void accepting_arm(struct accepting *a, nsec_t at);
/* Ends visits of generations before this one within `time`. */
void visits_hurry(struct accepting *a, unsigned generation, nsec_t time);
void visits_kill(struct accepting *a);
/* For `struct worker_kind` (common/registry.h). */
int visits_reserve(struct service *service);
void visits_view_slot(const struct service *service, uint32_t slot, struct slot_view *view);
uint32_t visits_next_in_turn(struct service *service, bool first);
void visits_adopt(struct child *child, nsec_t born);
void visits_ended(struct service *service, struct event *event);
/* Hooks of the part. */
void accept_on_status(struct json_writer *w, const struct service *service);
void accept_on_status_worker(struct json_writer *w, const struct child *child);
/* A slot may be free again: accepts what waits. */
void accepting_look(struct accepting *a);

#endif
