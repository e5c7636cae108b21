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
/* Connects to the worker's socket, even if no clients are led there (drain/steer.h), without waiting.
 * Returns the descriptor, or -1 and `err`; ESTALE: another program's file is in its place. */
int check_target_open(struct check_target *target, const struct child *child, struct error *err);
/* Connects `fd`, of a unix socket, to the address, but not to another file in the place of the
 * listener's: nclust must not ask another program. */
int check_target_connect(const struct check_target *target, int fd);
/* Does the address lead to the worker for sure?  A path whose file nclust did not make may lead to
 * another program. */
bool check_target_is_certain(const struct check_target *target);
