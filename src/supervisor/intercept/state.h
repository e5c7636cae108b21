/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INTERCEPT_STATE_H
#define SUPERVISOR_INTERCEPT_STATE_H

#include "base/nsec.h"
#include "os/spawn/seccomp.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/allowance.h"

#include <ev.h>
#include <stdbool.h>

/*
 * What this room alone knows of a worker, and of all: these structs are in those
 * of common/state.h.
 */
struct child;

/* Calls of listen(2) that wait for the release of a spare; of more, from other
 * threads, the rest is let through. */
#define GATE_CALLS 2
struct gate {
	bool passed;
	unsigned count;
	uint64_t id[GATE_CALLS]; /* as in struct seccomp_notice */
	pid_t tid[GATE_CALLS];
	int fd[GATE_CALLS];
	int backlog[GATE_CALLS];
};

struct trapped {
	struct gate gate;
	ev_io watcher;                /* its fd: on which calls arrive, or -1 */
	struct seccomp_notice notice; /* a call that was heard … */
	struct child *next_heard;     /* … and waits its turn */
	struct allowance allowance;   /* for its calls */
	bool heard;
	bool hostile; /* it held us up: the kernel does its calls */

	nsec_t listening_by; /* when to look next if it is ready; or 0 */
	unsigned looks;      /* how many there were so far */
	bool listening_told; /* the core knows that it listens */
	bool missing_told;   /* a missing address was reported */

	bool v6only_known; /* the last IPV6_V6ONLY that it set, where sockets
			      cannot be had … */
	bool v6only;
	int v6only_fd; /* … on this descriptor */
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
	struct child *heard; /* in the order of their calls */
	struct child **heard_end;
	ev_timer obey;  /* never armed; fed when a call was received */
	ev_timer ready; /* the earliest listening_by */
};

#endif
