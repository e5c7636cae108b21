/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "base/scope.h"
#include "core/view.h"
#include "os/descriptors.h"
#include "os/place/rundir.h"
#include "supervisor/accept/state.h"
#include "supervisor/common/allowance.h"
#include "supervisor/common/once.h"
#include "supervisor/common/timer.h"
#include "supervisor/control/state.h"
#include "supervisor/drain/state.h"
#include "supervisor/fallback/state.h"
#include "supervisor/health/state.h"
#include "supervisor/hooks/state.h"
#include "supervisor/instance/state.h"
#include "supervisor/intercept/state.h"
#include "supervisor/leader/state.h"
#include "supervisor/limits/state.h"
#include "supervisor/order/state.h"
#include "supervisor/orphans/state.h"
#include "supervisor/scaling/state.h"
#include "supervisor/sockets/state.h"
#include "supervisor/upgrade/state.h"
#include "supervisor/web/state.h"
#include "supervisor/workers/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

/*
 * The state of the supervisor.  Ownership is a tree: a supervisor has services, a service has
 * children and listeners, and each struct points to its owner.  What a single room uses is a struct
 * in that room's state.h, which is a member here.
 */

struct broker;
struct limits;
struct node_cluster;
struct node_worker;
struct scaling;
struct watching;

/* The process of a worker; the core knows the same worker by its id, `worker`. */
struct child {
	struct service *service;
	struct child *next; /* in supervisor.pids */
	uint64_t worker;
	uint64_t serial; /* unique in this instance: NCLUST_WORKER, and the name of its notify
			    socket */
	uint32_t slot;
	unsigned generation;
	pid_t pid;
	int pidfd;
	int output[2]; /* read ends of its stdout and stderr, or -1 */
	struct leading leading;
	uint32_t connections; /* one more than were counted last (control/census.h); 0: unknown */
	uint32_t said[2];     /* what was logged of it (once.h) */

	/* These structs are small, because there may be thousands of workers. */
	struct allowance allowance;
	struct worker_life life;
	struct saved_worker saved;
	struct listening listening;
	struct shown shown;
	struct trapped trap;
	struct worker_traffic traffic;
	struct measured measured;
	struct limited *limited; /* heap; NULL: it is in no cgroup (limits/state.h) */
	struct leftovers *left;  /* heap; NULL: its main process has not ended */
	const char *hang; /* the request that it does not answer (health/internal.h), or NULL */
	struct health *health;    /* NULL: it was never checked */
	struct node_worker *node; /* heap; NULL: it is no worker of Node's cluster (node.h) */
	struct channel *channel;  /* heap (channel.h); NULL: it has none */
};

/* How workers have ended: up to COUNTED_UNKNOWN by themselves, then as nclust wanted. */
enum counted_exit {
	COUNTED_SUCCESS,
	COUNTED_FAILURE,
	COUNTED_SIGNAL,
	COUNTED_OUT_OF_MEMORY,
	COUNTED_SPAWN, /* could not be started */
	COUNTED_UNKNOWN,
	COUNTED_STOPPED,
	COUNTED_REPLACED,
	COUNTED_START_TIMEOUT,
	COUNTED_UNHEALTHY,
	COUNTED_OUTGROWN, /* max-memory, max-age, max-requests */
	COUNTED_EXITS,
};
enum counted_rollout {
	COUNTED_DONE,
	COUNTED_FAILED,
	COUNTED_SUPERSEDED,
	COUNTED_ROLLOUTS,
};

/* What has happened in a cluster so far (news_text.h says where a new counter needs a line). */
struct counters {
	uint64_t started;
	uint64_t exits[COUNTED_EXITS];
	uint64_t ready;    /* workers that became ready */
	nsec_t ready_time; /* the sum of the times that their starts took */
	uint64_t rollouts[COUNTED_ROLLOUTS];
	nsec_t rollout_time;
	nsec_t rollout_since; /* when the present rollout began; or 0 */
	uint64_t drained;
	unsigned killed;        /* workers that outlived their stop, since the last rollout began */
	uint64_t drains_forced; /* of `drained`: at the end of their time */
	nsec_t drain_time;
	uint64_t handed_on; /* requests that other workers got in place of those that stopped */
	uint64_t hangs;
	uint64_t log_lines_dropped; /* lines of output that were dropped */
	uint64_t log_lines;         /* lines of output that the logger has read */
};

/* A cluster; `core` decides, the rest carries it out. */
struct service {
	struct supervisor *sup;
	struct saved_cluster saved;
	struct cluster *core;
	char *name;
	size_t index;                 /* in sup->services */
	struct child *(*children)[2]; /* by slot: two while a worker is being replaced */
	uint32_t child_slots;
	uint32_t message_turn; /* the slot that gets the next message */
	uint32_t said[2];      /* what was logged of it (once.h) */
	struct stage stage;
	struct cluster_life life;
	struct cluster_sockets sockets;
	struct cluster_traffic traffic;
	struct outcome last_rollout, last_scale;
	struct counters counters;
	struct asks asks;
	struct cluster_settings *routed; /* a reference: the sinks that the logger knows; or NULL */
	struct outage outage;
	struct leadership leadership;
	struct order order;
	struct cluster_hooks hooks;
	/* The files of `watch` (watch/watch.h), heap or NULL; and since when a change of these
	 * files waits to be reported: by CLOCK_REALTIME, or 0. */
	struct watching *watching;
	nsec_t watched;
	struct scaling *scaling;     /* heap; NULL: `workers` was never a range */
	struct trouble *trouble;     /* heap; NULL: the cluster never had trouble (trouble.h) */
	struct node_cluster *node;   /* heap; NULL: no worker uses Node's cluster (node.h) */
	struct accepting *accepting; /* heap; NULL: not `accept = yes` (accept/state.h) */
	struct broker *broker;       /* heap; NULL: `relay` is no URL (broker.h) */
};

/* The descriptors by which nclust hears of workers, and the listeners that workers may shut down
 * (sockets/group.h), in an epoll set of their own (os/descriptors.h), because libev would need some
 * 70 bytes for each (registry.h). */
enum child_fd {     /* stored in the low bits of a pointer to struct child */
	CHILD_EXIT, /* the worker's pidfd */
	CHILD_NOTIFY,
	CHILD_TRAP,   /* EPOLLONESHOT, because the call must be answered before the next event */
	CHILD_MOMENT, /* to look at it, at once by the machine's clock */
	CHILD_FDS,    /* none: the pointer is to a struct listener */
};
struct childset {
	struct eventset set;
	void (*hear[CHILD_FDS])(struct child *child);
	void (*hang_up)(struct listener *listener);
	ev_io wake;
	struct again again;
};

struct trouble;

/* How nclust was started, and what it found then. */
struct launch {
	int argc;
	char **argv;
	char *directory; /* the working directory (base/trusted.h), heap; NULL: it was removed */
	nsec_t started;
	unsigned cpus;
	bool had_terminal;
	bool lends_terminal; /* to workers; then `terminal` is as it was before */
	struct termios terminal;
	int self_exe;       /* O_PATH of nclust's binary */
	rlim_t descriptors; /* RLIMIT_NOFILE of nclust itself */
};

/* One turn of the loop, and how long the loop waits after it (supervisor.c). */
struct turn {
	ev_check wake;
	ev_prepare prepare;
	ev_timer deadline;
	nsec_t armed_at;      /* when `deadline` was armed */
	nsec_t armed_for;     /* the time for which it was armed */
	size_t ticked;        /* the cluster whose deadlines are looked at next */
	ev_periodic far_away; /* makes libev watch the clock by timerfd, not by waking up */
	nsec_t woke;          /* when the present turn began; or 0 */
	uint64_t turns;       /* the number of turns so far */
	nsec_t busy;          /* the sum of their durations */
	nsec_t longest;       /* the longest duration */
};

/* The history of events, and the events that wait to be published (news.h). */
struct history;
struct news;

struct record {
	struct history *history;
	struct news *head; /* the oldest one is published first */
	struct news *tail;
	ev_timer timer;
	uint64_t
		keeper_id; /* NEWS_HISTORY, if the keeper holds the history (orphans/internal.h); or 0 */
};

/* The start in the background, and nclust's own log (daemon.h). */
struct daemon {
	int pipe;          /* -d: to the process that waits for the start; or -1 */
	int log_fd;        /* stderr opened anew, nonblocking; or -1 */
	nsec_t release_at; /* when that process is to hear that all are ready */
	bool pidfile_written;
};

/* Signals to nclust itself (signals.c). */
struct signals {
	ev_io watcher;
	struct again again;
	bool hup_ignored;
};

/* The watch on the runtime directory (daemon.h). */
struct guard {
	ev_io watcher; /* its fd is an inotify instance, or -1 */
	int watch;
	ev_timer timer;
};

#define PID_BUCKETS 512

struct supervisor {
	struct ev_loop *loop;
	struct settings *settings;
	struct launch launch;

	struct rundir rundir;
	bool has_rundir;
	struct service **services;
	size_t service_count;

	struct turn turn;
	struct guard guard;
	struct orphans orphans;
	struct child *pids[PID_BUCKETS]; /* child_by_pid(): lists by the low bits of the pid */
	struct childset childset;
	struct births births;

	struct sockets sockets;
	struct signals signals;

	struct reaper reaper;
	struct job *jobs; /* the jobs that run (job.h) */
	struct logger logger;
	struct closer closer;
	struct intercept intercept;
	struct traffic traffic;
	struct control control;
	struct commands commands;
	struct record news;
	struct limits *limits;    /* heap (limits.c); NULL: no cluster has one */
	unsigned controllers;     /* `enabled` of the cgroup tree, as an upgrade carries it */
	struct ask *asks_waiting; /* the logger's (logs/logs.h), the oldest first */
	struct ask *asks_running;

	struct daemon daemon;
	int null_fd;
	uint32_t said[2]; /* what was logged of the instance (once.h) */

	struct instance instance;
	struct upgrade upgrade;
	struct scaler scaler;
	struct web web;
	struct leaders leaders;
	struct fallback fallback;
};
