/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SERVICE_H
#define SUPERVISOR_SERVICE_H

#include "supervisor/common/kind.h"
#include "supervisor/common/registry.h"

/*
 * A service is the system's half of a cluster: it hands events to the core and
 * carries out what the core asks for.
 */

/* Make one and put it into sup->services; its listeners and its segment (or NULL)
 * are taken over.  NULL: out of memory (then they stay the caller's). */
struct service *service_new(struct supervisor *sup,
	struct cluster_settings *settings, struct listener_set *listeners,
	struct segment *segment);
/* An empty one in its place, to be filled (carried.h); NULL: no memory. */
struct service *service_carried(struct supervisor *sup);
/* No worker may be alive. */
void service_free(struct service *service);

/* Give the core an event (its time is set here), and do what it answers. */
void service_tell(struct service *service, struct event *event);
/* Time has passed: let the core do what is due, a few workers' worth. */
void service_tick(struct service *service);
nsec_t service_deadline(const struct service *service);

/* Room for so many slots; never shrinks.  0, or -1: out of memory. */
int service_reserve(struct service *service, unsigned slots);

/* How many workers its settings want, given the CPUs. */
unsigned service_wanted(
	const struct supervisor *sup, const struct cluster_settings *settings);

/* The same of one that runs: what is wanted of it now, and how many are. */
unsigned service_workers(const struct service *service);
unsigned service_ready(const struct service *service);
unsigned service_alive(const struct service *service);
/* Slots that it has, and what is in one. */
uint32_t service_slots(const struct service *service);
void service_view_slot(
	const struct service *service, uint32_t slot, struct slot_view *view);

/* Nothing of it runs, and nothing will. */
bool service_is_over(const struct service *service);
/* Give the core a command by which it may begin a new life, or end at once. */
void service_change(struct service *service, struct event *event);

/* A worker that has ended so may have met a port that nclust holds: it binds its port
 * by itself, and nclust does not give it the one that it has. */
bool service_holds_its_port(
	const struct service *service, const struct report *r);

/* Commands, from clients and signals.  -1 and `err`: refused. */
int service_scale(struct service *service, unsigned count, struct error *err);
struct roll {
	uint32_t slot;                     /* or SLOT_ALL */
	struct cluster_settings *settings; /* handed over; NULL: as they are */
	bool command_changed;
	bool drops_ports; /* it need not listen on all that is listened on */
	bool has_canary;  /* in place of what the settings say */
	unsigned canary;
	bool has_bake; /* so too */
	nsec_t bake;
};
int service_roll(
	struct service *service, const struct roll *roll, struct error *err);
void service_stop(struct service *service, bool at_once);
/* A signal to one worker (slot != SLOT_ALL), to all, or to the next in turn.
 * Returns how many it reached. */
unsigned service_signal_all(struct service *service, int signal);
unsigned service_signal_slot(
	struct service *service, uint32_t slot, int signal);
unsigned service_signal_next(struct service *service, int signal, bool first);

/* ---- kinds (common/kind.h) ---- */

/* The slots are the core's. */
extern const struct worker_kind slots_kind;

/* The kind of a cluster with these settings. */
const struct worker_kind *kind_of(const struct cluster_settings *settings);
/* Can it have these listeners?  -1 and `err`. */
int kind_check(const struct cluster_settings *settings,
	const struct listener_set *set, struct error *err);

#endif
