/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/registry.h"

/* A service is a cluster in the supervisor: it hands events to the core and carries out what the
 * core asks for. */

/* Make a service and put it into sup->services; takes over `listeners` and `segment` (or NULL).
 * NULL: out of memory, and both stay the caller's. */
struct service *service_new(struct supervisor *sup, struct cluster_settings *settings,
	struct listener_set *listeners, struct segment *segment);
/* Make an empty service, to be filled by an upgrade; NULL: no memory. */
struct service *service_carried(struct supervisor *sup);
/* After so many deaths in a row before a worker was ready a warning is published, and a start with
 * -d has failed. */
#define EARLY_DEATHS_MAX 3

/* No worker may be alive. */
void service_free(struct service *service);

/* Give the core an event, with the present time, and carry out its actions. */
void service_tell(struct service *service, struct event *event);
/* The same for an event of a worker; `why` is for UNWELL and OUTGROWN, else WHY_ITSELF. */
void child_tell(struct child *child, enum event_kind kind, enum why why);
/* Let the core do what is due, for a few workers at a time. */
void service_tick(struct service *service);
nsec_t service_deadline(const struct service *service);

/* Make room for so many slots; it never shrinks.  -1: out of memory. */
int service_reserve(struct service *service, unsigned slots);

/* How many workers the settings ask for at a start, with the present CPUs; and how many now: if
 * they have a range, the present number within that range. */
unsigned service_wanted(const struct supervisor *sup, const struct cluster_settings *settings);
unsigned service_wanted_now(struct service *service, const struct cluster_settings *settings);
/* Count the CPUs anew.  True: the number has changed, and clusters that follow it are scaled,
 * unless their number of workers was set by hand. */
bool service_recount(struct supervisor *sup);

/* How many workers and slots the cluster has. */
struct service_counts {
	unsigned workers; /* wanted */
	unsigned ready;
	unsigned alive;
	uint32_t slots;
};
struct service_counts service_counts(const struct service *service);
/* What the core knows of the worker; `state` is SLOT_EMPTY if it is in no slot. */
struct worker_view child_view(const struct child *child);

/* Has the cluster no workers, and will it start none? */
bool service_is_over(const struct service *service);
/* Is it about to end, so that it can neither be scaled nor restarted? */
bool service_is_stopping(const struct service *service);
/* Give the core a command that may start the cluster again, or end it at once. */
void service_change(struct service *service, struct event *event);

/* Commands of clients and signals, each of which notes in stage.awaited when it is over.  -1 and
 * `err`: refused. */
int service_scale(struct service *service, unsigned count, struct error *err);
/* The same by nclust itself. */
int service_step(struct service *service, const struct scale_step *to, struct error *err);
/* A cluster that has no workers but no listener either, because its workers bind their port, could
 * not be woken by a client: start a worker.  `moves`: the port may have changed. */
void service_wake(struct service *service, bool moves);
/* `roll`: as an EVENT_ROLL, whose settings are handed over. */
int service_may_roll(const struct service *service, const struct event *roll, struct error *err);
int service_roll(struct service *service, const struct event *roll, struct error *err);
/* Does a copy live, in another slot than this one, that has never died? */
bool service_has_lasting(const struct service *service, uint32_t slot);
/* Does one copy run, as nobody has said how many, until it opens a port? */
bool service_runs_once(const struct service *service);
/* Stop the cluster when the clusters have ended that must stop before it (supervisor/order); and
 * stop it now. */
void service_stop(struct service *service, bool at_once);
void service_stop_now(struct service *service, bool at_once);
/* Send a signal to the worker of a slot, or to all workers.  Returns how many workers got it. */
unsigned service_signal_all(struct service *service, int signal);
unsigned service_signal_slot(struct service *service, uint32_t slot, int signal);
/* To the next in turn, or the first one.  Returns its slot, or SLOT_ALL: there is none. */
uint32_t service_signal_next(struct service *service, int signal, bool first);
