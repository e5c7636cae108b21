/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/look.h"
#include "os/socket/endpoint.h"
#include "os/socket/socket.h"
#include "protocol/http.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/state.h"

/* The settings of the worker, or those in force. */
const struct cluster_settings *health_settings(const struct child *child);

/* ---- monitor ---- */

/*
 * Looks after the workers of a cluster for one reason (asks.of): asks them, or watches them for
 * stalls, memory or connections.  It exists from the first worker whose settings need it, and has a
 * timer.
 */
struct monitor {
	const struct monitor_kind *kind;
	struct service *service;
	ev_timer timer;
	nsec_t due;        /* when the timer was to expire */
	nsec_t lost;       /* how late nclust came to timers, in sum */
	nsec_t lost_until; /* up to here lateness is in that sum */
	nsec_t since;      /* when a worker was last started, or ready */
};

struct monitor_kind {
	nsec_t first; /* time before the first step or look; the least between looks */
	/* Do the worker's settings need this monitor, now or at some time? */
	bool (*wants)(const struct child *child);

	/* Either: called when the timer expires. */
	void (*step)(struct monitor *a, nsec_t now);
	/* Or: called for each worker; returns when to look again. */
	nsec_t (*look)(struct child *child, nsec_t now);
	/* nclust itself stood still: forgets when a worker was seen; or NULL. */
	void (*forget)(struct child *child);
};

extern const struct monitor_kind probe_kind;
extern const struct monitor_kind stall_kind;
extern const struct monitor_kind memory_kind;
extern const struct monitor_kind count_kind;

/* Lets the monitor's timer expire after that time. */
void monitor_arm(struct monitor *a, nsec_t wait);
/* Notes that nclust comes only at `now` to what was due at `due`. */
void monitor_late(struct monitor *a, nsec_t due, nsec_t now);
/* A clock that stands while nclust comes late: its workers may not have had the CPU either. */
static inline nsec_t monitor_time(const struct monitor *a, nsec_t now)
{
	return now - a->lost;
}
/* Starts it, after that time at the latest, if the new worker `only`, or NULL: any worker, needs
 * it. */
void monitor_begin(
	struct service *service, const struct child *only, enum asks_for which, nsec_t wait);

/* ---- check target ---- */

/* The address at which workers are checked: that of their listener, or the loopback address if the
 * listener has all addresses. */
struct check_target {
	union endpoint address;
	socklen_t size;
	bool deferred;           /* the kernel accepts a connection only after data came */
	struct socket_file file; /* of its path, which must lead to this file; or ino 0 */
	char host[80];           /* for "Host:" */
};

/* Returns the listener at which this worker is checked: the first stream listener of its
 * generation, else the first learned one that the worker uses (before it uses any: that other
 * workers do).  NULL: a unix path that it has bound by itself, or there is none (yet). */
const struct listener *check_target_of(const struct child *child);
/* Returns the inode of the socket from which the worker takes connections where it is checked; 0:
 * there is none (yet). */
uint64_t check_target_socket(const struct child *child);
/* Connects to the worker's socket, even if no clients are led there (drain.h), without waiting.
 * Returns the descriptor, or -1 and `err`; ESTALE: another program's file is in its place. */
int check_target_open(struct check_target *target, const struct child *child, struct error *err);
/* Connects `fd`, of a unix socket, to the address, but not to another file in the place of the
 * listener's: nclust must not ask another program. */
int check_target_connect(const struct check_target *target, int fd);
/* Does the address lead to the worker for sure?  A path whose file nclust did not make may lead to
 * another program. */
bool check_target_is_certain(const struct check_target *target);

/* ---- prober ---- */

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

/* check.c: what to ask the worker now; NULL: nothing. */
const struct probe *check_wants(const struct child *child);
/* The result; if not `well`, `why` says how it failed. */
void check_answered(struct child *child, bool well, const char *why);
/* nclust cannot connect to where the worker listens. */
void check_unreached(struct child *child, const struct error *err);

/* ---- stall ---- */

/*
 * Does a worker that takes no connection of a check hang, or are others on its socket always
 * faster, or has it more clients than it can serve?  An idle worker waits for connections; a busy
 * one accepts some, or reads or writes a byte.  A worker that does neither at any look for a while
 * hangs: it loops, is stopped, or its threads wait for each other.  To wait is no excuse where a
 * connection is `untaken`; then only what moves at `at` counts.
 */
#define MISSED_LOOKS 32 /* in `patience` */

/* Looks at the worker, if a look is due at `now`, the time of monitor_time().  True: for all of
 * `patience` it has been as above. */
bool stall_missed(
	struct child *child, const struct listener *at, bool untaken, nsec_t patience, nsec_t now);
/* Starts anew: the worker has answered, or cannot be judged now. */
void stall_forget_missed(struct child *child);

/* Has a request waited longer than request-timeout on this connection? */
bool stall_exceeds(const struct child *child, const struct connection *c);
void stall_free(struct health *h);
