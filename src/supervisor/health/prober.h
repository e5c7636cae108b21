/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/health/internal.h"

/* How many of nclust's own connections to the workers may wait to be accepted? */
unsigned health_unaccepted(const struct service *service);
/* Has nclust a connection of its own to a worker, or had one in this turn of the loop? */
bool health_asks(const struct service *service);

/*
 * Asks the workers of a cluster if they are ready, and then if they are well (check.c).
 *
 * Where several workers accept from a socket, any free one may take a connection: nclust finds out
 * which one has (os/look/look.h) before it sends the request (or its last bytes, if the kernel
 * defers accepting until there is data), and asks only workers that are to be asked.  The answer,
 * or the lack of one, counts for that worker alone.
 *
 * A worker that does not answer is reported again each `check-interval` without another request,
 * because it would take none.  A connection that no worker takes stays in the queue.
 */
#define PROBINGS_MAX 16

enum probing_state {
	PROBING_OVER,
	PROBING_CONNECTS,
	PROBING_WAITS, /* until a worker takes it and nclust knows which worker */
	PROBING_TAKEN, /* `worker` has the connection; nclust waits for the answer */
	PROBING_REST,  /* the worker has answered: nclust reads what follows */
};

struct probing {
	struct prober *prober;
	enum probing_state state;
	ev_io io;                          /* its fd, or -1; runs from TAKEN on */
	struct cluster_settings *settings; /* a reference */
	const struct probe *probe;         /* what is asked; tcp or http */
	struct check_target target;
	uint64_t socket; /* inode of the workers' socket where it waits */
	uint64_t inode;  /* of the worker's end; 0: not accepted yet */
	uint32_t slot;   /* TAKEN: who has it */
	uint64_t worker;
	nsec_t since;  /* when it was opened: monitor_time() */
	nsec_t due;    /* TAKEN, REST: when that has lasted too long */
	bool fin_sent; /* REST: nclust has waited that time, and has sent its FIN */
	size_t sent;   /* bytes of the request */
	size_t got;
	struct httpanswer http;
};

struct prober {
	struct monitor monitor;
	unsigned round;    /* of checks, from 1 on */
	nsec_t round_ends; /* NSEC_NEVER: no worker is checked */

	ev_timer look;
	nsec_t step;   /* time to the next look */
	nsec_t due;    /* when the next look is to come */
	unsigned turn; /* of the loop, with the last look: ev_iteration() */
	bool blind;    /* the kernel does not show who has taken a connection */
	bool denied;   /* nclust may not look at some worker */
	unsigned open;
	struct probing asks[PROBINGS_MAX];
};

/* The cluster's prober; NULL: none was needed yet. */
static inline struct prober *prober_of(const struct service *service)
{
	return (struct prober *)service->asks.of[ASKS_PROBE];
}

void prober_init(struct prober *p); /* all but its monitor */
/* Opens connections to all sockets with workers that are to be asked, unless some wait
 * there: as many as the socket has workers, because an idle worker that is awake wakes no other. */
void prober_fire(struct prober *p);
/* Has this worker been asked, and not answered? */
bool prober_asks(const struct prober *p, const struct child *child);
/* For how long has a connection waited that this worker could take?  0: there is none. */
nsec_t prober_untaken(const struct prober *p, const struct child *child);
/* Lists nclust's ports of connections that wait to be taken; returns their number. */
size_t prober_ports(const struct prober *p, uint16_t ports[PROBINGS_MAX]);
/* The worker is being stopped: closes connections that it has taken, or could still take. */
void prober_let_go(struct prober *p, uint32_t slot, uint64_t worker);
/* Closes all connections, or all but those whose answer has come and is read on. */
void prober_stop(struct prober *p, bool all);
