/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/spawn/spawn.h"

#include <ev.h>
#include <stdbool.h>

/*
 * What this room alone knows of a worker, and of the instance: these structs are members of those
 * in common/state.h.
 */
struct trapped_call;

/* Calls of listen(2) that are held until a spare is released; further calls, of other threads, are
 * let through. */
#define GATE_CALLS 2
struct gate {
	uint64_t id[GATE_CALLS]; /* as in struct seccomp_notice */
	pid_t tid[GATE_CALLS];
	int fd[GATE_CALLS];
	int backlog[GATE_CALLS];
};

struct trapped {
	struct gate *gate;         /* heap, calls that are held; or NULL */
	struct trapped_call *call; /* heap, a call that is not answered yet; or NULL */

	int fd;              /* on which nclust receives its calls, or -1 */
	unsigned looks;      /* looks so far */
	nsec_t listening_by; /* when to look next whether it is ready; or 0 */
	int moment;    /* a timerfd: when to look next whether one that is held serves; or -1 */
	unsigned held; /* looks since then, while these come further apart */
	unsigned runs; /* looks in a row at which a process of it was at work */
	nsec_t ran;  /* CPU time that its thread `unproven` had used at the last look; or MASTER */
	nsec_t busy; /* CPU time that it had used, or waited for, at busy_at */
	nsec_t busy_at;    /* when idleness was judged last; or 0 */
	uint64_t pids;     /* a sum of its processes then ... */
	uint64_t has;      /* ... and the bytes that they had read, or had in memory */
	nsec_t loaded_at;  /* when these were last seen to change; or 0 */
	bool idle;         /* it was, then */
	nsec_t waits_by;   /* when to look what it waits for; or 0 */
	nsec_t late_by;    /* when to look what it has closed; or 0 */
	nsec_t late_wait;  /* wait before that look (internal.h) */
	nsec_t twins_by;   /* when to look for closed sockets of an address with several; or 0 */
	nsec_t twins_wait; /* wait before that look */
	uint64_t closed;   /* bits of learned listeners that were closed at the look before */
	int v6only_fd;     /* fd of the socket on which it set IPV6_V6ONLY last */
	bool v6only_known; /* v6only is known; only where nclust cannot duplicate sockets */
	bool v6only;       /* that option's value */
	bool hostile;      /* a look was late: the kernel does its calls */
	bool gate_passed;
	bool spare_listens;   /* a spare that listens on a socket without clients (spare_gate.c) */
	uint8_t gate_count;   /* calls in `gate` */
	bool known_to_listen; /* to the core */
	bool exclusive;       /* what it binds by itself stays its own (node.c) */
};

/* How nclust can take over sockets here (intercept.h). */
enum intercept_way {
	WAY_UNKNOWN,
	WAY_ADOPT,   /* by duplicates of workers' own sockets */
	WAY_REPLACE, /* by nclust's sockets, put in the place of workers' */
	WAY_NONE,    /* not at all: calls cannot be trapped */
};

struct intercept {
	enum intercept_way way;
	struct spawn_trap trap; /* of the spawn under way */
	ev_timer answer_timer;  /* fed when a call was received; armed if calls are left */
	ev_timer ready;         /* the earliest listening_by, or other look */
};
