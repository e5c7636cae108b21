/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/look.h"
#include "protocol/courier.h"
#include "supervisor/common/state.h"
#include "supervisor/drain/quiet.h"

#include <ev.h>

/* ---- a drain ---- */

/* Shared by the files drain*.c alone. */

/* One process of the worker; the first in the list is the worker itself. */
struct drain_process {
	pid_t pid;
	pid_t parent;
	int pidfd; /* of the first process: the child's pidfd */
	struct remote remote;
	bool stop_sent;           /* nclust has sent SIGSTOP */
	bool stopped;             /* the process has stopped */
	bool ran;                 /* at the last look at which it was not frozen */
	enum activity activity;   /* at the last look; WAITS without a busy connection */
	enum activity stopped_in; /* what the last freeze interrupted */
};

/* What the last look at a worker has found. */
struct drain_view {
	unsigned alive;       /* connections of clients that neither side has closed */
	unsigned busy;        /* connections of clients that are not quiet */
	unsigned maybe_quiet; /* busy, but perhaps quiet: the kernel does not show it */
	unsigned asks_soon;   /* busy, but only because their clients have asked lately */
	unsigned reading;     /* unix sockets whose clients have yet to read an answer, then ask */
	unsigned unanswered;  /* busy WebSockets, for whose answers nclust waits no longer */
	unsigned guessed;     /* quiet, but perhaps in the midst of an answer that pauses */
	unsigned silent;      /* alive, with nothing sent or received for 100 ms (TCP) */
	unsigned endable;     /* alive, and may be ended now */
	unsigned waiting;     /* not accepted yet, at the worker's ports */
	bool blind;           /* nclust cannot see its connections */
	bool late;            /* for now: the look took too long, or lacked something */
	bool stubborn;        /* by drain_glance(): it will get new connections until its end */
	bool gone;            /* the worker has ended */
	nsec_t took;
};

struct drain {
	struct drain *next; /* in the list of all drains */
	struct traffic *traffic;
	struct child *child;
	ev_timer timer; /* the next look */
	nsec_t began;
	nsec_t until;
	nsec_t wait;       /* time before the next look */
	bool concluded;    /* its end is published */
	bool after_signal; /* the worker runs on after its stop signal */
	bool signalled;    /* the stop signal is sent, processes below the worker stay frozen */

	struct drain_process *processes;
	size_t process_count;
	bool too_many; /* the worker has more processes than PROCESS_TREE_MOST */
	bool frozen;   /* SIGSTOP is sent, and no SIGCONT since */
	nsec_t frozen_at;
	nsec_t frozen_longest; /* until the last thaw */
	unsigned freezes;
	unsigned unstoppable; /* freezes in a row that did not stop all processes */

	uint16_t *ports; /* ports at which the worker listens */
	size_t port_count;
	bool catches_signal; /* the worker handles its stop signal */
	bool own_handler;    /* that handler is the program's own, not a runtime's */
	bool keeps_quiet;    /* quiet connections stay open until the stop signal */
	bool saw_websocket;  /* a WebSocket was seen */
	bool saw_http;       /* a request of HTTP/1 was seen */
	unsigned crowd;      /* the greatest process_crowd() of any look */
	bool waited_long;    /* KEEP_PATIENCE is over: all connections could have become quiet */
	struct quiet_memory *memory; /* of connections at the last look */
	size_t memory_count;
	nsec_t looked_at; /* 0: there was no look yet */
	struct drain_view view;
	nsec_t took_before;  /* duration of the look before the last; or 0 */
	unsigned busy_least; /* the fewest busy connections of any look */
	unsigned busy_most;  /* the most busy connections of any look */
	unsigned ended;      /* quiet connections that were ended early */
	unsigned asked;      /* connections in use that were ended between two requests */
	unsigned guessed;    /* connections that were ended so, which perhaps had no whole answer */
	bool hands_on;       /* requests may be handed on: drain_hands_on() at the last look */
	unsigned handed;     /* requests that were */
	nsec_t handed_at;    /* when one was last; or when the drain began */
	bool holds;          /* the courier holds connections of the worker */
	bool lost;           /* the courier has ended, and with it answers that it had to pass on */
	bool elsewhere;      /* drain_hand() is for a process in another network namespace */
	nsec_t request_at;   /* when a request came last, as seen by a look */
	bool freeze_between; /* freeze it to end connections between two requests */
	bool stays_frozen;   /* stay frozen a moment longer: a client may send its next request */
	unsigned steps;      /* since it ran freely, it ran for so many moments */
	nsec_t stay;         /* how long the next such stay lasts */
	bool turned_away;    /* nclust has kept new connections away before the first freeze */
	bool unreachable;    /* its unix paths belong to other workers by now */
	nsec_t withdraw_at;  /* when to call drain_withdraw() again */
};

/* Are workers of the cluster's generation drained before they get their stop signal? */
bool drain_comes_first(const struct service *service);
/* Looks at the connections; fills d->view and traffic.seen. */
void drain_look(struct drain *d);
/* Looks at a worker without a drain; all is 0 if it has one.  Stubborn is one that cannot be taken off
 * its socket; but not if the stop signal would kill it with fewer than `least` connections, because
 * such a worker will be quiet soon.  Silent clients count where the worker may say goodbye to them. */
struct drain_view drain_glance(struct child *child, unsigned least);
/* Notes a port at which the worker listens. */
void drain_add_port(struct drain *d, uint16_t port);
bool drain_is_incoming(const struct drain *d, const struct connection *c);
/* What is done with the connections of the last look. */
enum drain_deal {
	DEAL_HAND,       /* requests that lie unread are handed on */
	DEAL_END_QUIET,  /* and quiet connections are ended */
	DEAL_END_ASKING, /* and connections in constant use, between two requests: the client has to
			  * repeat its request (RFC 9112, 9.3.1) */
	DEAL_END_LAST,   /* all is quiet: as DEAL_END_QUIET */
	DEAL_HOLD,       /* the stop signal comes next: the courier gets duplicates of quiet ones */
};
/* Returns how many of them got a request since, and stay as they are. */
unsigned drain_deal(struct drain *d, enum drain_deal deal);
/* Describes the connections busy at the last look: "127.0.0.1:4711 (3.2 s, 1.2 MB sent)". */
const char *drain_busy_text(struct drain *d, char *to, size_t size);
/* Is half of the drain's time over? */
bool drain_is_half_over(const struct drain *d, nsec_t now);

/* drain.c */
void drain_free(struct drain *d);
void drain_arm(struct drain *d, nsec_t wait); /* sets the timer for the next look */
/* Reports the worker as drained to the core, which answers with the stop signal. */
void drain_report(struct drain *d, bool forced);

/* drain_moment.c */
#define DRAIN_WAIT_FIRST (2 * MSEC) /* between two looks, at first and at most */
#define DRAIN_WAIT_LAST (16 * MSEC)
#define DRAIN_STAY_FIRST (1 * MSEC) /* frozen */
/* Looks at the worker, and reports it as drained when it may get its stop signal; or sets the timer
 * for the next look. */
void drain_await_moment(struct drain *d);

/* drain_freeze.c */
/* Brings the list of processes up to date; returns how many are new. */
size_t drain_list_processes(struct drain *d);
void drain_forget_processes(struct drain *d);
/* Begins a freeze; call drain_is_frozen() until all processes have stopped. */
void drain_freeze(struct drain *d);
/* Sends SIGSTOP to each process whose parent has stopped.  True: all processes have stopped. */
bool drain_is_frozen(struct drain *d);
bool drain_is_stopped(const struct child *child);
void drain_thaw(struct drain *d);
nsec_t drain_frozen_longest(const struct drain *d);

struct drain_process *drain_process_of(struct drain *d, pid_t pid);

/* ---- thaw ---- */

/*
 * Continues frozen workers.  A drain freezes a worker for a moment to look at its connections, and
 * continues it afterwards (drain_thaw()), also when nclust itself stops or is upgraded meanwhile
 * (drain_settle()).
 *
 * If nclust is killed in that moment, the worker must still run (`orphans = keep`).  So nclust has
 * a helper while there are drains.  When nclust dies, the helper continues the workers that the
 * state file says are frozen.  The keeper cannot: it has no right to signal them.  The next
 * nclust continues all workers that it takes over, because the helper may have been killed, too.
 *
 * A worker that somebody else has stopped is continued when its drain begins, because a stopped
 * worker would not answer its clients.
 */

/* Continues a process that leads its group: first all processes below it, then the rest of its
 * group, also processes that have lost their parent. */
void thaw_tree(pid_t pid, int pidfd);
