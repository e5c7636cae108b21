/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ACCEPTING_H
#define SUPERVISOR_ACCEPTING_H

#include "os/socket/peer.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

extern const struct part accept_part;

/*
 * `accept = yes`: nclust accepts, and starts the command once for each
 * connection (man/nclust-accept.7).  The core has no worker then: it keeps the
 * generations and settings, and knows whether the cluster runs.  Who serves a
 * connection is a child in a slot of the service (child.h), and a visit here, by
 * the same slot.  A slot that has nobody is free: whom the last process was
 * there for is nobody's business any more.
 *
 * Connections are accepted only while there is a slot for them: the others wait
 * in the kernel's queue, which costs nothing.
 */
enum visit_phase {
	VISIT_NONE,
	VISIT_SERVED,   /* until it is done, or its deadline */
	VISIT_STOPPING, /* it has got a stop signal */
	VISIT_KILLED,
};

struct visit {
	struct peer peer;
	enum visit_phase phase;
	unsigned step;   /* STOPPING: of settings->stop */
	nsec_t born;     /* when it was accepted */
	nsec_t deadline; /* of the phase; NSEC_NEVER */
	bool late;       /* it was ended by `accept-timeout` */
};

/* What is told now and then only. */
enum accepting_trouble {
	TROUBLE_LACK,
	TROUBLE_COMMAND,
	TROUBLE_CRASH,
	TROUBLES
};

/* One of the listeners that are accepted from. */
struct intake {
	ev_io io;
	struct accepting *accepting;
	size_t index; /* in accepting->listeners */
};

#define LEAVING_MAX 16

struct accepting {
	struct service *service;
	unsigned limit;   /* of those that run at once */
	unsigned running; /* a scale may have left more than the limit */
	uint32_t low;     /* no slot below is free */
	uint32_t turn; /* the slot behind the last that got a signal in turn */
	struct visit *visits; /* by slot; as many as service->child_slots */
	uint32_t visit_slots;

	bool open; /* connections are taken; else a stop is under way or over */
	bool stopping; /* … and `held` was told to the core */
	bool waits;    /* nothing is watched: there was no slot */
	struct listener_set listeners; /* a use each */
	struct intake *intakes;        /* one each */

	ev_timer due; /* for the earliest deadline of a visit, or before */
	nsec_t due_at;
	ev_timer pause; /* there was no descriptor, or no process to be had */
	int kept;       /* … for this connection; or -1 */
	struct peer kept_peer;
	size_t kept_index;        /* of the listener */
	nsec_t told_at[TROUBLES]; /* the last time that it was … */
	unsigned untold[TROUBLES];

	/* Refused: held for a moment, so that what they still send is no reset
	 * of what they were told. */
	int leaving[LEAVING_MAX]; /* a ring */
	unsigned leaving_first;
	unsigned leaving_count;
	unsigned leaving_old; /* of them were there at the last look */
	ev_timer leave;

	uint64_t served; /* processes that were started */
	uint64_t refused;
	uint64_t timed_out;
	uint64_t not_started; /* the command could not be executed */
	uint64_t exits[256];  /* by exit status */
	uint64_t signals[65]; /* by the signal that killed it */
	uint64_t unknown;     /* of an earlier nclust: nobody can tell */
};

/* Nothing is watched any more, and no listener held. */
void accepting_close(struct service *service);

/* How they go through an upgrade, and one connection. */
extern const struct carried carried_accepting;
extern const struct carried carried_visit;
/* Carried: an empty one, room by slot. */
void *accepting_carried(struct carry_reader *r, void *owner);

/* ---- between accepting.c and visits.c ---- */

struct visit *visit_begin(struct accepting *a, uint32_t slot);
/* A slot that is free, or SLOT_ALL. */
uint32_t visit_slot(struct accepting *a);
/* How many are served of this address. */
unsigned visit_count(const struct accepting *a, const struct peer *peer);
void visits_init(struct accepting *a);
/* Those that are served and older than that have `time` left at most. */
void visits_hurry(struct accepting *a, unsigned generation, nsec_t time);
void visits_kill(struct accepting *a);
int visits_reserve(struct accepting *a);
/* For `struct worker_kind` (common/kind.h). */
void visits_view_slot(
	const struct service *service, uint32_t slot, struct slot_view *view);
uint32_t visits_next_in_turn(struct service *service, bool first);
void visits_status(struct json_writer *w, const struct service *service);
void visits_status_slot(
	struct json_writer *w, const struct service *service, uint32_t slot);
void visits_adopt(struct child *child, nsec_t born);
void visits_ended(struct service *service, struct event *event, bool later,
	uint64_t serial);
/* There may be room again. */
void accepting_look(struct accepting *a);

#endif
