/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/look/look.h"
#include "os/socket/endpoint.h"
#include "supervisor/common/job.h"
#include "supervisor/common/role.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What this room knows of the connections of a worker, of a cluster and of the instance.  These
 * structs are members of those in common/state.h.
 */
struct drain;
struct service;

struct worker_traffic {
	struct drain *drain; /* heap, a drain under way (drain.h); or NULL */
	unsigned lane;       /* which sockets the worker has (sockets/group.h) */
	unsigned busy;       /* connections, at the drain's last look */
	bool withdrawn;      /* nclust has removed the listeners from its epoll sets */
	bool own;            /* its slot has sockets of its own (steer.h) */
	bool takes;          /* it is ready, and takes connections */
	nsec_t emptied;      /* since when it is to be emptied; or 0 */
	nsec_t starved;      /* process_starved() when no connection waited for its lane last */
	nsec_t ran;          /* CPU time when it became ready (internal.h) */
};

/* Which lanes new workers get, and which sockets get new connections. */
struct steer {
	struct service *service;
	ev_timer timer;
	nsec_t interval;    /* time from one look to the next */
	unsigned last_lane; /* the greatest lane so far */
	unsigned lane;      /* for new workers that share sockets */
	unsigned next_lane; /* the same, from `next_generation` on */
	unsigned next_generation;
	unsigned slots;    /* so many slots have sockets of their own; 0: workers share them */
	bool mute_at_once; /* a worker of this rollout did not become quiet by itself */
	bool clients_stay; /* most clients keep their connections: the new generation has own sockets */
	bool leads;        /* the command of `ready` connects to the worker that it asks */
	bool holds;        /* no worker has passed its `ready` probe: clients wait */
	nsec_t unready_since;  /* since when there is none; or 0 */
	bool new_alone;        /* the new generation alone gets connections */
	nsec_t queue_empty_at; /* when no connection waited for it last */
};

struct cluster_traffic {
	struct steer steer;
	unsigned asked_again; /* requests that clients repeated in this rollout (drain.asked) */
	bool http;            /* a drain has seen requests of HTTP/1 */
	bool slow;            /* a drain has seen answers that take half of QUIET_UNSEEN_MS */
	unsigned handed_on;   /* requests that other workers got in this rollout (drain.handed) */
	unsigned guessed;     /* answers that were perhaps cut (drain.guessed) */
	unsigned busy; /* connections still busy when a drain of this rollout ended by force */
};

#define MONITORS_MOST 16
/* Room for "http " and an address. */
#define MONITOR_TEXT 56

/* A load balancer that asks by HTTP or as an agent whether it may send clients to this host. */
struct host_monitor {
	char who[MONITOR_TEXT];
	nsec_t last;
	nsec_t gap;       /* between the last two questions; 0: there was one alone */
	nsec_t period;    /* the longer one of the last two gaps; 0: not known */
	unsigned answers; /* since `host.switched_at` */
};

/* The host as load balancers see it (host.h). */
enum host_waits { HOST_SETTLED, HOST_EMPTIES, HOST_RETURNS };
/* What a look has found. */
struct host_seen {
	unsigned used; /* connections in use, also those that are not accepted */
	unsigned idle;
	char peer[ENDPOINT_TEXT]; /* of a connection in use */
};

struct host {
	nsec_t since;                  /* when the host was drained; 0: it is not drained */
	nsec_t switched_at;            /* when it was drained or undrained last */
	bool empty;                    /* it has been empty since it was drained */
	enum host_waits waits;         /* what a verb waits for */
	nsec_t began;                  /* when that verb began to wait */
	nsec_t until;                  /* when that verb stops waiting */
	struct host_monitor *monitors; /* heap, up to MONITORS_MOST */
	size_t monitor_count;
	struct host_seen seen; /* at the last look */
	unsigned empty_looks;  /* looks in a row at which no connection was in use */
	nsec_t reported_at;    /* when the wait was reported last */
	ev_timer timer;        /* the next look */
	char text[320];        /* about the outcome */
};

/* The process that passes on requests of workers that stop (hand_on.c). */
struct courier {
	struct role_life life;
	ev_io heard;        /* of its channel */
	unsigned under_way; /* requests that it was given, and has not said to be done */
};

struct traffic {
	struct host host;
	struct courier courier;
	struct drain *drains; /* list of all drains under way */
	unsigned drain_count;
	struct connections seen; /* of the worker that was looked at last */
	struct job helper;       /* runs while there are drains (internal.h) */
	pid_t nclust;            /* for the helper, whose parent may have ended */
};
