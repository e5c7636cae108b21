/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PROBE_BATCH_H
#define SUPERVISOR_PROBE_BATCH_H

#include "os/look/other_end.h"
#include "protocol/httpstatus.h"
#include "supervisor/health/check_target.h"
#include "supervisor/health/monitor.h"

/*
 * Checks workers of a cluster by several connections to its listener at a time.  Any free worker
 * may take a connection, so nclust cannot choose; it finds out which worker has
 * (os/look/other_end.h) before it sends the request (or its last bytes, if the kernel defers
 * accepting until there is data), and asks only workers that are to be checked.  The answer, or the
 * lack of one, counts for that worker alone.
 *
 * A worker that does not answer is reported again each `check-interval` without another request,
 * because it would take none.  A connection that no worker takes stays in the queue and counts for
 * none.  Where each worker has a socket of its own (`balance = rr`), nclust connects to that socket
 * and need not find out.
 */
#define BATCH_MAX 16

enum probing_state {
	PROBING_OVER,
	PROBING_CONNECTS,
	PROBING_WAITS, /* until a worker takes it and nclust knows which worker */
	PROBING_TAKEN, /* `worker` has the connection; nclust waits for the answer */
	PROBING_LATE,  /* the worker has failed thereby; nclust still waits */
	PROBING_REST,  /* the worker has answered: nclust reads what follows */
};

struct probing {
	struct probe_batch *batch;
	enum probing_state state;
	ev_io io; /* its fd, or -1; runs from TAKEN on */
	uint64_t inode;
	bool has_target; /* its socket is that of `worker` alone, or of its slot */
	bool is_of_slot; /* its socket is that of the slot, with two workers at most */
	bool is_unix;
	uint32_t slot;
	uint64_t worker;
	nsec_t since; /* when opened, taken, last reported (LATE), or its FIN sent: monitor_time() */
	bool fin_sent; /* REST: nclust has waited that time, and has sent its FIN */
	size_t sent;   /* bytes of the request */
	size_t got;
	char answer[HTTPSTATUS_MAX];
};

struct probe_batch {
	struct monitor monitor;
	unsigned running; /* commands that run, of probes by exec: */

	struct cluster_settings *settings; /* a reference, while any connection is open */
	const struct probe *probe;         /* of `settings`; tcp or http */
	struct check_target target;
	char first;    /* to send first, if the kernel waits for data; 0: the request but its end */
	bool in_lane;  /* connect to the sockets of `lane` */
	unsigned lane; /* even if that lane gets no clients (steer.h) */

	ev_timer look;
	nsec_t step;        /* time to the next look */
	nsec_t due;         /* when the next look is to come */
	nsec_t look_until;  /* in this turn, end of looks at workers that take none */
	nsec_t quiet_since; /* no worker has taken a connection since (monitor_time()) */
	/* Where to search on for owners, two for a slot; kept: the longest idle is often next. */
	uint32_t cursor;
	uint32_t searched;      /* workers searched so far, in two rounds */
	bool took_below;        /* a process below a worker took the last connection */
	bool below_first;       /* so search processes below workers first */
	bool blind;             /* the kernel does not show who has taken a connection */
	bool denied;            /* nclust may not look at some worker */
	uint64_t part_searched; /* the worker that was searched only up to `place` */
	struct other_end_place place;
	unsigned open;
	struct probing asks[BATCH_MAX];
};

/* Counts a failed or a passed check of the worker (check.c); also for checks of spares. */
void check_failed(struct child *child, const char *why);
void check_passed(struct child *child);

void batch_init(struct probe_batch *v); /* all but its monitor */
/* Does a connection wait to be taken? */
bool batch_waits(const struct probe_batch *v);
/* Does a connection wait to be taken, or for an answer that may still come in time? */
bool batch_is_busy(const struct probe_batch *v);
/* Lists nclust's ports of connections that wait to be taken; returns their number. */
size_t batch_ports(const struct probe_batch *v, uint16_t ports[BATCH_MAX]);
/* Has this worker been asked, and not answered? */
bool batch_asks(const struct probe_batch *v, const struct child *child);
/* Opens `count` connections to `l` (or NULL).  -1 and `err`: no address, or nobody listens. */
int batch_fire(struct probe_batch *v, const struct listener *l,
	const struct cluster_settings *settings, const struct probe *probe, unsigned count,
	struct error *err);
/* Did the last connections go to where this worker is asked? */
bool batch_is_at(const struct probe_batch *v, const struct child *child);
/* Which of two workers (`a` may be NULL) is to be asked first?  A worker whose address did not get
 * the last connections, so that no address waits for another. */
const struct child *batch_next(
	const struct probe_batch *v, const struct child *a, const struct child *b);
/* The worker is being stopped: closes connections that it has taken, or could still take. */
void batch_let_go(struct probe_batch *v, uint32_t slot, uint64_t worker);
/* Closes all connections but those whose answer has come and is read on; batch_end(): all. */
void batch_stop(struct probe_batch *v);
void batch_end(struct probe_batch *v);

#endif
