/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STATE_H
#define SUPERVISOR_STATE_H

#include "base/nsec.h"
#include "config/config.h"
#include "core/cluster.h"
#include "os/eventset.h"
#include "os/look/holder.h"
#include "os/place/rundir.h"
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
#include "supervisor/messages/state.h"
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
#include <sys/resource.h>
#include <sys/types.h>

/*
 * What is common to all rooms of the supervisor.  Ownership is a tree: a
 * supervisor has services, a service has children and listeners.  Each of them
 * points to its owner.  What only one room uses is in a struct of its own,
 * declared in the state.h of that room and a member here; listeners and
 * segments are declared by sockets, recipes by workers.
 */

struct accepting;
struct broker;
struct limits;
struct node_cluster;
struct node_worker;
struct scaling;
struct watching;
struct worker_kind;

/* The system's half of a worker of the same id. */
struct child {
	struct service *service; /* NULL: on the free list */
	struct child *next;      /* in the pid table, or on the free list */
	uint64_t worker;
	uint64_t serial; /* unique in this instance: the name of its
				    notify socket, NCLUST_WORKER */
	uint32_t slot;
	unsigned generation;
	pid_t pid;
	int pidfd;
	int output[2]; /* read ends of its pipes, or -1 */
	struct leading leading;
	uint32_t census; /* its place in the last one (census.h) */

	/* small, as there is one child for each worker */
	struct worker_life life;
	struct worker_kept kept;
	struct listening listening;
	struct shown shown;
	struct trapped trap;
	struct worker_traffic traffic;
	struct limited limited;
	struct leftovers *left;   /* heap; NULL: its main process lives */
	const char *hang;         /* what it does not answer (hang.h), or NULL */
	struct health *health;    /* NULL: it was never asked how it is */
	struct node_worker *node; /* heap; NULL: not Node's (node.h) */
	struct channel *channel;  /* heap (channel.h); NULL: it has none */
};

/* How workers have ended: by themselves, … */
enum tally_exit {
	TALLY_SUCCESS,
	TALLY_FAILURE,
	TALLY_SIGNAL,
	TALLY_OUT_OF_MEMORY,
	TALLY_SPAWN, /* it could not even be started */
	TALLY_UNKNOWN,
	TALLY_STOPPED, /* … or as nclust wanted it */
	TALLY_REPLACED,
	TALLY_START_TIMEOUT,
	TALLY_UNHEALTHY,
	TALLY_OUTGROWN, /* by memory or age */
	TALLY_EXITS,
};
enum tally_rollout {
	TALLY_DONE,
	TALLY_FAILED,
	TALLY_SUPERSEDED,
	TALLY_ROLLOUTS,
};

/* What has happened in a cluster, counted (tally.h). */
struct tally {
	uint64_t started;
	uint64_t exits[TALLY_EXITS];
	uint64_t ready; /* workers that became so, and after what time */
	nsec_t ready_time;
	uint64_t rollouts[TALLY_ROLLOUTS];
	nsec_t rollout_time;
	nsec_t rollout_since; /* of the one under way; or 0 */
	uint64_t drained;
	uint64_t drains_forced; /* of these */
	nsec_t drain_time;
	uint64_t hangs;
	uint64_t lines_lost; /* of output */
	uint64_t lines;      /* of output that the logger has read */
};

/* What the logger was told of its sinks (supervisor/logs). */
struct routed {
	struct cluster_settings *settings; /* a reference; NULL: nothing */
	nsec_t logger;                     /* which one: when it was started */
};

/* The system's half of a cluster. */
struct service {
	struct supervisor *sup;
	struct kept_cluster kept;
	struct cluster *core;
	const struct worker_kind *kind; /* never NULL */
	char *name;
	size_t index;                 /* in sup->services */
	struct child *(*children)[2]; /* by slot */
	uint32_t child_slots;
	uint32_t message_turn; /* the slot that gets the next message */
	unsigned hooks_told;   /* 1 << enum hook_event: failure was logged */
	struct stage stage;
	struct cluster_life life;
	struct held held;
	struct cluster_traffic traffic;
	struct outcome outcome;
	struct tally tally;
	struct asks asks;
	struct routed routed;
	struct outage outage;
	struct leadership leadership;
	struct order order;
	/* The files of `watch` (watch/watch.h): heap, or NULL; and since when a
	 * change of them has not been told: by the clock on the wall, or 0. */
	struct watching *watching;
	nsec_t watched;
	struct scaling *scaling;     /* heap; NULL: `workers` was never a range */
	struct trouble *trouble;     /* heap; NULL: it never had any (trouble.h) */
	struct node_cluster *node;   /* heap; NULL: nobody asked (node.h) */
	struct accepting *accepting; /* a process per connection; or NULL */
	struct broker *broker;       /* heap; NULL: `relay` is no URL (broker.h) */
};

#define PID_BUCKETS_MIN 64

/* What is watched of workers (childset.h). */
struct childset {
	struct eventset set;
	ev_io wake;
	struct again again;
};

struct pid_table {
	struct child **buckets;
	size_t size; /* a power of two */
	size_t used;
};

struct health;
struct trouble;

/* The process that has a port, as found last (trouble.h). */
struct last_holder {
	char who[HOLDER_TEXT];
	pid_t pid; /* 0: not known */
	unsigned port;
	int type;
	nsec_t at;
};

/* How nclust was started, and what it found then. */
struct launch {
	int argc;
	char **argv;
	char *directory; /* where (base/cwd.h): heap; NULL: it was removed */
	nsec_t started;
	unsigned cpus;
	bool had_terminal;
	int self_exe;       /* O_PATH of our own binary */
	rlim_t descriptors; /* the limit for nclust */
};

/* When the loop waits, and until when (supervisor.c). */
struct turn {
	ev_check wake;
	ev_prepare prepare;
	ev_timer deadline;
	nsec_t armed_at; /* when the deadline was armed, and for when */
	nsec_t armed_for;
	nsec_t ends;          /* the time spent on ended workers in this turn */
	nsec_t heard;         /* the same for what workers said … */
	unsigned heard_in;    /* … in this iteration of the loop */
	size_t ticked;        /* clusters, one after the other */
	ev_periodic far_away; /* keeps libev's housekeeping asleep */
	nsec_t woke;          /* when this turn began; or 0 */
	uint64_t turns;       /* so many there were, … */
	nsec_t busy;          /* … and so long they took, … */
	nsec_t longest;       /* … the longest one of them */
};

/* Events: the history, and those that wait to be published (news.h). */
struct history;
struct news;

struct record {
	struct history *history;
	struct news *head; /* published in order */
	struct news *tail;
	ev_timer timer;
	ev_timer spares; /* reports what was left out */
	uint64_t held;   /* by the keeper: the history (keeper.h) */
};

/* The start in the background, and nclust's own log (daemon.h). */
struct daemon {
	int pipe;   /* -d: to the process that waits for us; or -1 */
	int log_fd; /* our own nonblocking stderr, or -1 */
	bool pidfile_written;
};

/* Signals that nclust itself gets (signals.c). */
struct signals {
	ev_io watcher;
	struct again again;
	bool hup_ignored;
};

/* The watch on the runtime directory (guard.h). */
struct guard {
	ev_io watcher; /* its fd: inotify, or -1 */
	int watch;
	ev_timer timer;
	bool failed; /* files could not be made; that was logged */
};

struct job;

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
	struct pid_table pids;
	struct childset childset;
	struct births births;

	struct sockets sockets;
	struct signals signals;

	struct reaper reaper;
	struct job *jobs; /* those that run (job.h) */
	struct logger logger;
	struct closer closer;
	struct intercept intercept;
	struct last_holder last_holder;
	struct traffic traffic;
	struct channels channels;
	struct control control;
	struct commands commands;
	struct record news;
	struct limits *limits; /* heap (limits.c); NULL: no cluster has one */
	unsigned controllers;  /* that it has switched on, for our end */
	struct logs *logs;     /* heap (logs/opener.h); NULL: nothing was asked */

	struct daemon daemon;
	int null_fd;

	struct instance instance;
	struct upgrade upgrade;
	struct scaler scaler;
	struct web web;
	struct leaders leaders;
	struct fallback fallback;
};

#endif
