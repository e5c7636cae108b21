/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SERVICE_H
#define SUPERVISOR_SERVICE_H

#include "supervisor/common/kind.h"
#include "supervisor/common/registry.h"

/* A service is the system's half of a cluster: it hands events to the core and
 * carries out what the core asks for. */

/* Make a service and put it into sup->services; takes over `listeners` and
 * `segment` (or NULL).  NULL: out of memory, and they stay the caller's. */
struct service *service_new(struct supervisor *sup, struct cluster_settings *settings,
	struct listener_set *listeners, struct segment *segment);
/* Make an empty service, to be filled by an upgrade; NULL: no memory. */
struct service *service_carried(struct supervisor *sup);
/* So many starts in a row fail before that is told, or ends a start with -d. */
#define EARLY_DEATHS_MAX 3

/* No worker may be alive. */
void service_free(struct service *service);

/* Give the core an event (its time is set here), and do what it answers. */
void service_tell(struct service *service, struct event *event);
/* The same for an event of one worker; `why` is for UNWELL and OUTGROWN, else
 * WHY_ITSELF. */
void child_tell(struct child *child, enum event_kind kind, enum why why);
/* Time has passed: let the core do what is due, a few workers' worth. */
void service_tick(struct service *service);
nsec_t service_deadline(const struct service *service);

/* Room for so many slots; never shrinks.  0, or -1: out of memory. */
int service_reserve(struct service *service, unsigned slots);

/* How many workers its settings want at a start, given the CPUs; and now: of a range
 * as many as there are, within it. */
unsigned service_wanted(const struct supervisor *sup, const struct cluster_settings *settings);
unsigned service_wanted_now(const struct service *service, const struct cluster_settings *settings);
/* Count the CPUs anew.  True: there are others, and clusters that follow them have
 * more or fewer workers, unless their number was set by hand. */
bool service_recount(struct supervisor *sup);

/* How many workers and slots it has; the content of a slot. */
struct service_counts service_counts(const struct service *service);
void service_view_slot(const struct service *service, uint32_t slot, struct slot_view *view);
/* What is known of the worker; `state` is SLOT_EMPTY if it is in no slot. */
struct worker_view child_view(const struct child *child);

/* Has it no workers, and will it start none? */
bool service_is_over(const struct service *service);
/* Give the core a command that may start the service again, or end it at
 * once. */
void service_change(struct service *service, struct event *event);

/* May the worker have failed because it binds its port by itself while nclust
 * holds that port and does not hand it over? */
bool service_holds_its_port(const struct service *service, const struct report *r);

/* Commands, from clients and signals.  -1 and `err`: refused. */
int service_scale(struct service *service, unsigned count, struct error *err);
/* The same by nclust itself: a reload may change it. */
int service_step(struct service *service, const struct scale_step *to, struct error *err);
/* A cluster that is asleep, or was when it was stopped, may have to start a worker
 * that opens its port by itself: nobody could wake it there.  True: it starts one.
 * `moves`: it may be another port than before. */
bool service_wake(struct service *service, bool moves);
struct roll {
	uint32_t slot;                     /* or SLOT_ALL */
	struct cluster_settings *settings; /* handed over; NULL: as they are */
	bool command_changed;
	bool drops_ports; /* new workers may listen on less than old ones */
	bool has_canary;  /* in place of the setting */
	unsigned canary;
	bool has_bake; /* in place of the setting */
	nsec_t bake;
};
int service_roll(struct service *service, const struct roll *roll, struct error *err);
/* Stop it, when those have ended that are to stop before it (supervisor/order); and
 * now. */
void service_stop(struct service *service, bool at_once);
void service_stop_now(struct service *service, bool at_once);
/* A signal to one worker (slot != SLOT_ALL), to all, or to the next in turn.
 * Returns how many it reached. */
unsigned service_signal_all(struct service *service, int signal);
unsigned service_signal_slot(struct service *service, uint32_t slot, int signal);
unsigned service_signal_next(struct service *service, int signal, bool first);

/* ---- kinds (common/kind.h) ---- */

/* Clusters whose slots the core fills. */
extern const struct worker_kind slots_kind;

/* The kind of a cluster with these settings. */
const struct worker_kind *kind_of(const struct cluster_settings *settings);
/* Can a cluster of this kind have these listeners?  -1 and `err`. */
int kind_check(
	const struct cluster_settings *settings, const struct listener_set *set, struct error *err);

#endif
