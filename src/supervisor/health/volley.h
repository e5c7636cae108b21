/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_VOLLEY_H
#define SUPERVISOR_VOLLEY_H

#include "protocol/httpstatus.h"
#include "supervisor/health/aim.h"
#include "supervisor/common/state.h"

/*
 * Some questions at once to the workers of a cluster, each a connection to its
 * listener.  Whoever is free takes it, so one worker cannot be chosen: but before
 * the request is sent (its last bytes, where nobody accepts a connection without
 * any), nclust finds out who has it (os/look/otherend.h), and asks only those who shall
 * answer.  What such a worker says, or that it says nothing, counts for it alone.
 * One that does not answer is reported again each `check-interval`, without being
 * asked again: it would not take a connection.
 * One that nobody takes stays in the queue, and is nobody's fault.
 */
#define VOLLEY_MAX 16

enum asking_state {
	ASKING_OVER,
	ASKING_CONNECTS,
	ASKING_WAITS, /* for somebody to take it, or for who that was */
	ASKING_TAKEN, /* by `worker`, whose answer is waited for */
	ASKING_LATE,  /* still: it has failed once by that, and will again */
};

struct asking {
	struct volley *volley;
	enum asking_state state;
	ev_io io; /* its fd, or -1; runs while TAKEN */
	uint64_t inode;
	uint32_t slot;
	uint64_t worker;
	nsec_t since; /* TAKEN; LATE: since it was told last */
	size_t sent;  /* of the request */
	size_t got;
	char answer[HTTPSTATUS_MAX];
};

struct volley {
	struct service *service;
	/* Shall this worker be asked?  And: it has answered; `why` not well. */
	bool (*wants)(struct child *child);
	void (*answered)(struct child *child, bool well, const char *why);

	struct cluster_settings *settings; /* a reference, while it runs */
	const struct probe *probe;         /* of these; tcp or http */
	struct aim aim;
	bool in_lane;  /* ask workers … */
	unsigned lane; /* … of that one, whoever gets connections (steer.h) */

	ev_timer look;
	nsec_t step;  /* to the next look */
	nsec_t armed; /* when that was said, and for when */
	nsec_t due;
	nsec_t quiet_since; /* nobody has taken any */
	uint32_t cursor; /* the slot that is looked at next, for whose it is; it
			     stays: who waits longest is often the next */
	uint32_t looked; /* slots so far, of two rounds */
	bool deep;       /* processes below workers had the last … */
	bool deep_first; /* … so they are looked at first */
	bool blind;      /* the kernel does not tell who has taken one */
	bool denied;     /* somebody could not be looked at */
	unsigned open;
	struct asking asks[VOLLEY_MAX];
};

void volley_init(struct volley *v, struct service *service);
/* Does one wait to be taken?  Or for an answer that may yet come in time? */
bool volley_waits(const struct volley *v);
bool volley_is_busy(const struct volley *v);
/* The ports of our ends of those that wait to be taken: how many. */
size_t volley_ports(const struct volley *v, uint16_t ports[VOLLEY_MAX]);
/* Has this worker been asked, and not answered? */
bool volley_asks(const struct volley *v, const struct child *child);
/* Ask `count` times, where it is not busy.  -1 and `err`: there is no address to ask at. */
int volley_fire(struct volley *v, const struct cluster_settings *settings,
	const struct probe *probe, unsigned count, struct error *err);
/* It is on its way out: what it has taken, or may be the only one to take, is not
 * asked any more. */
void volley_let_go(struct volley *v, uint32_t slot, uint64_t worker);
/* Nobody is told of what is still open. */
void volley_stop(struct volley *v);

#endif
