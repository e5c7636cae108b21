/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/generation.h"
#include "core/rollout.h"
#include "core/slot.h"
#include "core/view.h"

/*
 * The struct of a cluster, for the files of core/, and for the one that carries it through an
 * upgrade (supervisor/upgrade/carry_core.c).
 *
 * Slots at and above `places` leave.  Counters are kept up to date, and never counted
 * anew.  Work on all slots is a cursor that goes over them a few at a time.
 */
struct cluster {
	struct slot *slots;
	uint32_t cap;
	/* A heap: first[leaves + N] is slot N, and each node below `leaves` is that of the two nodes
	 * under it (2 * N, 2 * N + 1) that is due first.  So first[1] is due before all others. */
	uint32_t *first;
	uint32_t leaves;
	uint32_t in_line; /* slots that stand in line (`waits`) */
	uint32_t count;   /* slots in use: with a place, or leaving */
	uint32_t wanted;  /* workers that are to serve */
	uint32_t places;  /* slots for wanted workers and for spares */
	uint32_t sweep;   /* slots from here on are still to be settled */
	uint32_t shrink;  /* slots from here downwards, above `places`, too */
	bool more;        /* the last call stopped before all was done */

	bool alone; /* as EVENT_ALONE said last */

	struct actions *out; /* during cluster_handle() */
	nsec_t now;          /* of the latest event */
	nsec_t lost;         /* in all, time in which nclust stood still */
	unsigned spawns_left;
	uint64_t random;
	uint64_t last_worker; /* id of the latest worker */
	uint32_t in_turn;     /* from this slot on, the next worker in turn is looked for */

	struct generations generations;
	unsigned generation; /* the generation in force */
	unsigned last_generation;
	unsigned last_command;
	struct rollout rollout;
	unsigned waiting_id;    /* a rollout that has to wait for the one under way; 0: none */
	struct event waiting;   /* EVENT_ROLL, whose settings are owned; NULL: those in force */
	unsigned last_rollout;  /* id; rollouts that go back count too */
	unsigned asked_rollout; /* id of the latest request */

	unsigned alive;
	unsigned ready;
	unsigned unfit;        /* ready workers whose successor is wanted */
	unsigned gates[GATES]; /* open ones */
	uint32_t gate_turn;    /* the next slot in turn for a gate */
	unsigned released;     /* starting workers that may pass the gate */
	unsigned spares;       /* at the gate */
	unsigned ended;        /* slots that are not started again */
	unsigned did;          /* slots with `did`: they count as ready */
	bool ever_ready;

	unsigned life;      /* counts revivals */
	bool lived;         /* was a worker ready in this life? */
	bool was_all_ready; /* and all of them at once? */
	bool stopping;      /* no slot is wanted */
	bool at_once;
	bool asked_to_stop;
	bool failed;
	bool end_reported;
	bool slot_waits; /* the slot being settled has asked for a worker, and waits */
	int status;      /* to end with */

	enum cluster_state state; /* as reported last */
	bool all_ready;
	uint32_t surprises[WORKER_STATES]; /* bits: events that were reported */

	nsec_t rescues_from; /* when all of them may be used again (death.c) */
	unsigned deaths;     /* unasked ones, counted up; index into the ring */
	nsec_t died[GIVE_UP_MAX];
};
