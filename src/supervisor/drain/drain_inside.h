/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_INSIDE_H
#define SUPERVISOR_DRAIN_INSIDE_H

#include "core/quiet.h"
#include "os/look/connections.h"
#include "supervisor/drain/drain.h"

/* What the files drain*.c share with each other alone. */

/* One process of the worker; the first is the worker's own. */
struct drain_process {
	pid_t pid;
	pid_t parent;
	int pidfd; /* of the first: the child's */
	struct remote remote;
	bool asked;               /* SIGSTOP is sent … */
	bool still;               /* … and it has stopped */
	enum activity does;       /* at the last look; WAITS if it has no busy one */
	enum activity stopped_in; /* what the last freeze interrupted */
};
#define DRAIN_PROCESSES_MOST 256

/* What one look has found. */
struct drain_view {
	unsigned open;    /* connections to the worker */
	unsigned alive;   /* open ones that neither side has closed */
	unsigned busy;    /* open ones that are not quiet */
	unsigned unseen;  /* busy ones that may be quiet: the kernel hides it */
	unsigned still;   /* alive and for 100 ms without a word (TCP) */
	unsigned ripe;    /* alive ones that may be ended now */
	unsigned heads;   /* those with an unread head of HTTP/1 or message of a WebSocket */
	unsigned waiting; /* not accepted yet, where it listens */
	bool blind;       /* its connections cannot be seen */
	bool gone;        /* it has ended */
	nsec_t took;
};

/* A connection that was in flight at the stop signal; nclust holds a duplicate
 * to see how it ends.  Until that is closed the worker's close(2) sends no FIN,
 * so only a few are held, and not for long. */
struct drain_flight {
	int fd;
	uint64_t cookie;
	uint32_t segments_out;
	bool answered;
};
#define DRAIN_FLIGHTS 4

struct drain {
	struct drain *next; /* in the list of all drains */
	struct traffic *all;
	struct child *child;
	ev_timer timer; /* the next look */
	nsec_t began;
	nsec_t until;
	nsec_t wait;       /* before the next look */
	bool told;         /* the core has EVENT_DRAINED */
	bool after;        /* the worker goes on after its stop signal, and is still drained */
	unsigned lingered; /* looks since the signal while it was stopped */
	bool signalled;    /* the stop signal was sent: see drain_learn.c */

	struct drain_process *processes;
	size_t process_count;
	bool too_many; /* the worker has more processes */
	bool frozen;   /* SIGSTOP is sent, and no SIGCONT since */
	nsec_t frozen_at;
	nsec_t frozen_longest; /* up to the last thaw */
	unsigned freezes;
	unsigned unstoppable; /* freezes in a row that did not stop it */

	uint16_t *ports; /* where the worker listens */
	size_t port_count;
	bool goes_on;                /* it has a handler for its stop signal, or gets none … */
	bool own;                    /* … that is for sure the program's own */
	bool keeps;                  /* what is quiet stays open until its stop signal */
	bool talks;                  /* a WebSocket was seen … */
	bool asks;                   /* … or a request of HTTP/1 */
	bool waited;                 /* all could have been quiet in the time since it began */
	bool last;                   /* all are: the stop signal follows */
	struct quiet_memory *memory; /* of connections at the last look */
	size_t memory_count;
	nsec_t looked_at; /* 0: not yet */
	struct drain_view view;
	nsec_t took_before; /* duration of the look before the last; or 0 */
	unsigned least;     /* the fewest busy connections of any look */
	unsigned most;      /* … and the most */
	unsigned ended;     /* quiet connections that were ended early, … */
	unsigned asked;     /* … and those in use, between two requests */
	nsec_t moved_at;    /* a request has come since the look before that */
	bool between;       /* it is to be frozen between two requests … */
	bool lingers;       /* … a moment longer, as a client may ask anew … */
	bool steps;         /* … again, after it ran for a moment … */
	nsec_t linger;      /* … for so long the next time */
	nsec_t quiet_at;    /* it has been quiet at each look since; or 0 */
	bool turned_away;   /* new connections were kept away, once */
	bool unreachable;   /* its unix paths lead to other workers by now */
	nsec_t withdraw_at; /* when to call drain_withdraw() again */

	struct drain_flight flights[DRAIN_FLIGHTS];
	size_t flight_count;
};

/* drain_look.c */
void drain_look(struct drain *d); /* fills d->view and traffic.seen */
/* The worker listens there, too. */
void drain_add_port(struct drain *d, uint16_t port);
bool drain_is_incoming(const struct drain *d, const struct connection *c);
/* End those of the connections seen that are quiet, and of those in use all the time
 * such as ask anew, whose request the client has to repeat (RFC 9112, 9.3.1).  Returns
 * their number; *late counts those that got a request meanwhile and stay open. */
unsigned drain_end(struct drain *d, unsigned *late, bool those_that_ask);
/* The connections that were busy at the last look, for people: "127.0.0.1:4711
 * (3.2 s, 1.2 MB sent), …".  Returns `to`. */
const char *drain_busy_text(struct drain *d, char *to, size_t size);
/* Is half of the drain's time over? */
bool drain_is_half_over(const struct drain *d, nsec_t now);

/* drain.c */
/* Look once: has the worker a busy connection? */
bool drain_is_busy(struct child *child);

/* drain_freeze.c */
/* Bring the list of processes up to date; returns how many are new. */
size_t drain_list_processes(struct drain *d);
void drain_forget_processes(struct drain *d);
/* Begin a freeze; call drain_is_frozen() until all processes have stopped. */
void drain_freeze(struct drain *d);
/* Send SIGSTOP to processes whose parent has stopped.  True: all have
 * stopped. */
bool drain_is_frozen(struct drain *d);
bool drain_is_stopped(const struct child *child);
void drain_thaw(struct drain *d);
/* The longest freeze of this drain so far. */
nsec_t drain_frozen_longest(const struct drain *d);

struct drain_process *drain_process_of(struct drain *d, pid_t pid);

/* drain_withdraw.c */
/* Remove the listeners from the worker's epoll sets, if other workers take
 * their connections or the cluster stops; repeated, because a server may add
 * them again.  Sets child->withdrawn when one was removed, and d->unreachable. */
void drain_withdraw(struct drain *d, nsec_t now);
/* Does the worker wait for all of its listeners by epoll(7)? */
bool drain_can_withdraw(struct drain *d);

/* drain_learn.c */
void drain_hold_flights(struct drain *d); /* some busy at the last look */
/* Look how they ended; true: none is open any more. */
bool drain_look_at_flights(struct drain *d);
/* EVENT_GRACEFUL for the core if all were answered; forgets them. */
void drain_judge(struct drain *d);
void drain_drop_flights(struct drain *d);

/* ---- drain_order.c ---- */

/* Before a rollout picks its next slot: look at workers in turn up to the first
 * idle one and report each to the core, because busy ones take longer. */
void drain_on_choose(struct service *service);

#endif
