/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_INSIDE_H
#define SUPERVISOR_DRAIN_INSIDE_H

#include "core/quiet.h"
#include "os/look/connections.h"
#include "supervisor/drain/drain.h"

/* What the files drain*.c share, and nobody else sees. */

/* One process of the worker; the first is the worker's own. */
struct drain_process {
	pid_t pid;
	pid_t parent;
	int pidfd; /* of the first: the child's */
	struct remote remote;
	bool asked;         /* SIGSTOP is sent … */
	bool still;         /* … and it has stopped */
	enum activity does; /* at the last look; WAITS where it has none */
	enum activity stopped_in; /* when it was frozen last */
};
#define DRAIN_PROCESSES_MOST 256

/* What one look has found. */
struct drain_view {
	unsigned open;    /* connections to it */
	unsigned alive;   /* of them: not closed on either side */
	unsigned busy;    /* not quiet */
	unsigned unseen;  /* of them: only for what the kernel does not tell */
	unsigned ripe;    /* alive, and quiet */
	unsigned waiting; /* not accepted yet, where it listens */
	bool blind;       /* its connections cannot be seen */
	bool gone;        /* it has ended */
	nsec_t took;
};

/* A connection that was in flight at the stop signal, kept to see how it ends.
 * While we have it the worker's close(2) sends no FIN: few, and not for long. */
struct drain_flight {
	int fd;
	uint64_t cookie;
	uint32_t segments_out;
	bool answered;
};
#define DRAIN_FLIGHTS 4

#define DRAIN_PORTS 32

struct drain {
	struct drain *next; /* of all drains under way */
	struct drains *all;
	struct child *child;
	ev_timer timer; /* to look at it again */
	nsec_t began;
	nsec_t until;
	nsec_t wait;    /* before the next look */
	bool told;      /* EVENT_DRAINED */
	bool signalled; /* it has its stop signal: does it answer what was asked
			   before? */

	struct drain_process *processes;
	size_t process_count;
	bool too_many; /* there are more */
	bool frozen;   /* SIGSTOP is sent, and no SIGCONT since */
	nsec_t frozen_at;
	nsec_t frozen_longest; /* up to the last thaw */
	unsigned freezes;
	unsigned unstoppable; /* freezes in vain, in a row */

	uint16_t ports[DRAIN_PORTS]; /* where the service listens */
	size_t port_count;
	bool goes_on; /* it has a handler for its stop signal, or gets none */
	struct quiet_memory *memory; /* of those seen at the last look */
	size_t memory_count;
	nsec_t looked_at; /* 0: not yet */
	struct drain_view view;
	nsec_t took_before; /* the look before it; or 0 */
	unsigned least;     /* busy ones at a look, so far */
	unsigned most;
	unsigned ended;     /* connections, one by one */
	nsec_t quiet_at;    /* since then, one look after the other; or 0 */
	bool turned_away;   /* that was seen to at once */
	nsec_t withdraw_at; /* when to see next that it accepts no more */

	struct drain_flight flights[DRAIN_FLIGHTS];
	size_t flight_count;
};

/* What the drains of an instance share. */
struct drains {
	struct drain *list;
	size_t count;
	nsec_t turn_ends;
	nsec_t turn_left; /* for looks */
	unsigned tick;
	struct connections seen; /* of the last look */
	int thawer; /* who waits for our end has the other end (thaw.h); or -1 */
};

/* drain_look.c */
void drain_look(struct drain *d); /* into d->view, and drains->seen */
bool drain_is_incoming(const struct drain *d, const struct connection *c);
/* Of the connections seen, end those that are quiet.  How many; *late: so many
 * were asked meanwhile, and stay. */
unsigned drain_end(struct drain *d, unsigned *late);
/* Those that were busy at the last look, for people: "127.0.0.1:4711 (3.2 s,
 * 1.2 MB sent), …".  Returned. */
const char *drain_busy_text(struct drain *d, char *to, size_t size);
/* Half of the time is over. */
bool drain_is_half_over(const struct drain *d, nsec_t now);

/* drain.c */
/* Has it connections that are not quiet, at this one look? */
bool drain_is_busy(struct child *child);

/* drain_freeze.c */
/* Find those that are new: how many. */
size_t drain_list_processes(struct drain *d);
void drain_forget_processes(struct drain *d);
void drain_freeze(struct drain *d); /* to be gone on with by: */
/* Does all of it stand still, right now?  Those whose parent does are asked to. */
bool drain_is_frozen(struct drain *d);
bool drain_is_stopped(const struct child *child);
void drain_thaw(struct drain *d);
/* For how long it has stood still at most. */
nsec_t drain_frozen_longest(const struct drain *d);

struct drain_process *drain_process_of(struct drain *d, pid_t pid);

/* drain_withdraw.c */
/* Have it wait for no connection any more, where others do, or the cluster stops;
 * again and again, as it may go back to it.  child->withdrawn: so it is. */
void drain_withdraw(struct drain *d, nsec_t now);
/* Would it: does it wait for all of them by epoll(7)? */
bool drain_can_withdraw(struct drain *d);

/* drain_learn.c */
void drain_hold_flights(struct drain *d); /* those busy at the last look */
/* True: nothing is left to learn. */
bool drain_look_at_flights(struct drain *d);
void drain_judge(struct drain *d); /* it has ended, or nothing is left */
void drain_drop_flights(struct drain *d);

/* ---- drain_order.c ---- */

/* Before a rollout comes to its next slot: tell the core which of those before the
 * first idle one are busy, as these would take longer. */
void drain_on_choose(struct service *service);

#endif
