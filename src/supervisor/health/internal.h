/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_INTERNAL_H
#define SUPERVISOR_HEALTH_INTERNAL_H

#include "os/look/look.h"
#include "os/socket/endpoint.h"
#include "os/socket/socket.h"
#include "protocol/http.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/state.h"

/* ---- monitor ---- */

/*
 * Looks after the workers of a cluster for one reason (asks.of): probes them until they are ready,
 * checks them, or watches them for stalls, memory or connections.  An monitor exists from the first
 * worker whose settings need it, and has a timer. health.c and others begin it.
 */
struct monitor {
	const struct monitor_kind *kind;
	struct service *service;
	ev_timer timer;
	nsec_t due;             /* when the timer was to expire */
	nsec_t lost;            /* how late nclust came to timers, in sum */
	nsec_t lost_until;      /* up to here lateness is in that sum */
	nsec_t since;           /* when it was begun, or startup_probe.c saw a worker ready, last */
	struct child_walk walk; /* with `look`: the workers to look at next */
	nsec_t wait;            /* with `look`: time until the next round */
};

struct monitor_kind {
	size_t size;  /* of a struct that begins with a struct monitor */
	nsec_t first; /* time before the first step or look; the least between looks */
	/* Do the worker's settings need this monitor, now or at some time? */
	bool (*wants)(const struct child *child);

	/* Either: called when the timer expires. */
	void (*step)(struct monitor *a, nsec_t now);
	/* Or: looks at each worker in turn; returns when to look again. */
	nsec_t (*look)(struct child *child, nsec_t now);
	/* nclust itself stood still: forgets when a worker was seen; or NULL. */
	void (*forget)(struct child *child);

	/* If a struct batch is first in the struct: returns what to ask the worker now, or
	 * NULL. */
	const struct probe *(*probe)(const struct child *child);
	/* The result of what was asked; if not `well`, `why` says how it failed. */
	void (*answered)(struct child *child, bool well, const char *why);
	/* In place of `answered`: the worker has taken this connection of nclust's, which is closed
	 * afterwards; `sent` bytes of a request were sent. */
	void (*taken)(struct child *child, int fd, size_t sent);
};

extern const struct monitor_kind prove_kind;
extern const struct monitor_kind check_kind;
extern const struct monitor_kind warm_kind;
extern const struct monitor_kind stall_kind;
extern const struct monitor_kind memory_kind;
extern const struct monitor_kind reach_kind;
extern const struct monitor_kind count_kind;

/* The cluster's monitor, made on first use.  NULL: out of memory. */
struct monitor *monitor_of(struct service *service, enum asks_for which);
/* Lets the monitor's timer expire after that time. */
void monitor_arm(struct monitor *a, nsec_t wait);
/* Notes that nclust comes only at `now` to what was due at `due`. */
void monitor_late(struct monitor *a, nsec_t due, nsec_t now);
/* A clock that stands while nclust comes late: its workers may not have had the CPU either. */
static inline nsec_t monitor_time(const struct monitor *a, nsec_t now)
{
	return now - a->lost;
}
/* Starts the monitor if the new worker `only` needs it; NULL: if any worker does, because settings
 * have changed. */
void monitor_begin(struct service *service, const struct child *only, enum asks_for which);
/* The worker is being stopped: asks it nothing any more. */
void monitors_let_go(struct service *service, uint32_t slot, uint64_t worker);
void monitors_free(struct service *service);

/* ---- check target ---- */

/* The address at which workers are checked: that of their listener, or the loopback address if the
 * listener has all addresses. */
struct check_target {
	union endpoint address;
	socklen_t size;
	uint64_t inode;          /* inode of the listener's socket; the listener may be gone */
	bool deferred;           /* the kernel accepts a connection only after data came */
	struct socket_file file; /* of its path, which must lead to this file; or ino 0 */
	bool strange;            /* the path leads to another file */
	char host[80];           /* for "Host:" */
};

/* Returns the listener at which this worker is checked: the first stream listener of its
 * generation, else the first learned one that the worker uses (before it uses any: that other
 * workers do).  NULL: there is none (yet). */
const struct listener *check_target_of(const struct child *child);
/* Returns the listener at which the next worker in that slot will be checked. */
const struct listener *check_target_next(const struct service *service, uint32_t slot);
/* Has each slot an address of its own by this listener? */
static inline bool check_target_is_own(const struct listener *l)
{
	return l->address.each != NULL;
}

/* Fills *aim for `l`, which may be NULL.  -1 and `err`: there is no address to ask at (yet). */
int check_target_at(struct check_target *target, const struct listener *l, struct error *err);
/* Connects `fd` to the address.  ESTALE: somebody has put another file in the place of a unix
 * listener's, and nclust must not ask another program with its own rights. */
int check_target_connect(const struct check_target *target, int fd);

/* ---- probe batch ---- */

/*
 * Checks workers of a cluster by several connections to its listener at a time.  Any free worker
 * may take a connection, so nclust cannot choose; it finds out which worker has
 * (os/look/look.h) before it sends the request (or its last bytes, if the kernel defers
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
	unsigned lane; /* even if that lane gets no clients (drain.h) */

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

/* probe_batch.c */
#define PROBING_CLOSED "closed the connection without an answer"
void probing_close(struct probing *a);
/* Closes the connection, and reports the result for the worker that has it. */
void probing_end(struct probing *a, bool well, const char *why);
/* Must this worker be asked? */
bool batch_must_ask(const struct probe_batch *v, const struct child *child);

/* probe_owner.c */
/* Is the connection made by now?  Then its owner is looked for. */
void probing_begin(struct probing *a);
/* Has a worker taken the connection, or failed because it takes none? */
void probing_look(struct probing *a, nsec_t now);
/* Finds the workers that have taken connections, a slice at a time.  True: there is more. */
bool batch_find_owners(struct probe_batch *v);
/* How many workers the worker's slot has, with itself. */
unsigned probing_count_in_slot(const struct child *child);

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

/* ---- not accepting ---- */

/*
 * Under overload a check's connection waits long behind those of clients, or finds the queue full.
 * A worker that takes clients' connections meanwhile is at work, and to replace it would leave
 * fewer workers for the load.
 *
 * Has the worker taken no connection at the address where it is checked, for as long as it may fail
 * its checks? Call it again and again, with the time of monitor_time(). The silence begins with the
 * first look after `since`, and anew with each look that finds a new connection. A look costs some
 * us for each connection of the worker. Where nclust may not look, it finds no new connections.
 */
#define SILENCE_LOOKS 16 /* looks while the worker may fail its checks */
bool not_accepting_for_long(struct child *child, nsec_t since, nsec_t now);
/* The worker has answered, or is gone. */
void not_accepting_forget(struct child *child);

/* ---- snapshot ---- */

/* What a worker and all processes below it do, seen from outside; for stall.c, snapshot.c and
 * snapshot.c.  The caller zeroes the struct and looks at the processes, then, if needed, at the
 * connections, which costs some us for each. */
#define SNAPSHOT_PROCESSES 256

struct snapshot {
	struct connections all;
	nsec_t cpu; /* used so far */
	pid_t tree[SNAPSHOT_PROCESSES];
	size_t tree_count;
	bool traced; /* by a debugger */
};
void snapshot_processes(struct snapshot *snapshot, const struct child *child);
void snapshot_connections(struct snapshot *snapshot, const struct child *child);
void snapshot_free(struct snapshot *snapshot);

/* A number that changes when the worker reads or writes a byte, accepts or closes a connection.  A
 * queue that only grows does not change it. */
uint64_t snapshot_print(const struct snapshot *snapshot);
/* Has the worker a request that it has not read, or not answered? */
bool snapshot_any_waits(const struct snapshot *snapshot, const struct child *child);

/* ---- not waiting ---- */

/*
 * Does a worker that takes no connection of a check hang, or are other workers on the shared port
 * always faster?  An idle worker waits for connections; a busy one reads, writes, accepts or closes
 * some.  A worker that does neither at any look for a while is away: it loops, is stopped, or its
 * threads wait for each other.  A single look that finds it waiting for connections clears it.
 */
#define AWAY_LOOKS 64 /* looks within `patience`, if there is time for them */

/* Looks at the worker, at the time of monitor_time().  True, once: the worker was away from `l` for
 * all of `patience`. */
bool not_waiting_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now);
/* Starts anew: the worker has answered, or cannot be judged now. */
void not_waiting_forget(struct child *child);
bool not_waiting_is_suspect(const struct child *child);

/* ---- hang ---- */

/*
 * `request-timeout`: a worker hangs if a request waits that long for its answer.  nclust sees that
 * from outside: the last data on a TCP connection came from the client.  The worker is reported
 * with what its threads do, and replaced through its slot's gate; the drain does not wait for that
 * request.  In doubt a connection counts as answered here, but as busy in a drain.
 */
#define HANG_LOOKS 4 /* within request-timeout */

nsec_t hang_patience(const struct child *child); /* the worker's request-timeout; 0: off */
/* Looks at the worker, if a look is due. */
void hang_look(struct child *child, nsec_t now);
/* Has a request waited too long on this connection? */
bool hang_exceeds(const struct child *child, const struct connection *c);

#endif
