/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INTERCEPT_STATE_H
#define SUPERVISOR_INTERCEPT_STATE_H

#include "base/nsec.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/allowance.h"

#include <ev.h>
#include <stdbool.h>

/*
 * What this room alone knows of a worker, and of all: these structs are in those
 * of common/state.h.
 */
struct heard;

/* Calls of listen(2) that wait for the release of a spare; of more, from other
 * threads, the rest is let through. */
#define GATE_CALLS 2
struct gate {
	uint64_t id[GATE_CALLS]; /* as in struct seccomp_notice */
	pid_t tid[GATE_CALLS];
	int fd[GATE_CALLS];
	int backlog[GATE_CALLS];
};

struct trapped {
	struct gate gate;
	int fd;                     /* on which calls arrive, or -1 */
	struct heard *heard;        /* heap: a call that waits its turn; or NULL */
	struct allowance allowance; /* for its calls */

	nsec_t listening_by; /* when to look next if it is ready; or 0 */
	unsigned looks;      /* how many there were so far */
	nsec_t busy;         /* CPU time that it had used, or waited for, … */
	nsec_t busy_at;      /* … at this look; or 0 */
	nsec_t waits_by;     /* when to look what it waits for; or 0 */
	nsec_t late_by;      /* when to look what it has closed; or 0 … */
	nsec_t late_wait;    /* … after so long a wait (closed.h) */
	int v6only_fd;       /* the last IPV6_V6ONLY that it set was on this … */
	bool v6only_known;   /* … (known where sockets cannot be had) … */
	bool v6only;         /* … and this */
	bool hostile;        /* it held us up: the kernel does its calls */
	bool gate_passed;
	bool aside;          /* a spare that listens, where no client comes (gate.h) */
	uint8_t gate_count;  /* so many calls are in `gate` */
	bool listening_told; /* the core knows that it listens */
	bool missing_told;   /* a missing address was reported */
};

/* What we know of trapping workers' calls here (intercept.h). */
enum intercept_way {
	WAY_UNKNOWN,
	WAY_ADOPT,   /* we can duplicate workers' own sockets */
	WAY_REPLACE, /* we cannot: ours are put in their place */
	WAY_NONE,    /* no calls can be trapped */
};

struct intercept {
	enum intercept_way way;
	struct spawn_trap trap; /* of the spawn under way */
	bool own_filter_told;
	struct heard *heard; /* in the order of their calls */
	struct heard **heard_end;
	ev_timer obey;  /* never armed; fed when a call was received */
	ev_timer ready; /* the earliest listening_by */
};

#endif
