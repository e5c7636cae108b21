/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "config/address.h"
#include "os/place/sharedmem.h"
#include "os/socket/socket.h"
#include "os/socket/socket_key.h"
#include "supervisor/orphans/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What nclust holds open for its workers: the room sockets makes it, and all rooms see it. */
struct supervisor;

/* How the kernel chooses among several sockets of a listener. */
enum spread {
	SPREAD_SHARED,  /* at random, in proportion to the workers of each socket */
	SPREAD_CHANCE,  /* at random, where each slot has a socket of its own */
	SPREAD_CLIENTS, /* by the client's address: it always gets the same socket */
	SPREAD_FLOWS,   /* UDP: by the client's address and port */
	SPREAD_TURNS,   /* in turn, in proportion to the workers of each socket */
};

/* One of several sockets of a listener (group.h). */
struct listener_socket {
	struct listener_socket *next;
	int fd;
	uint64_t inode;
	unsigned lane;      /* workers of this and later lanes have this socket */
	uint32_t slot;      /* whose workers alone have it (steer.h); SLOT_ALL: it is shared */
	unsigned place;     /* index in the kernel's SO_REUSEPORT group */
	unsigned weight;    /* its share of new connections */
	unsigned workers;   /* how many workers have it, when they were counted last (drain) */
	unsigned ready;     /* those that take connections */
	unsigned preferred; /* those of the generation that is to get clients */
	bool draining;      /* one of its workers is to be emptied */
	bool spare;         /* a spare listens on it, and would take clients at once */
	bool served;        /* its weight was above 0 at some time */
	bool bound;         /* its worker has called bind(2) for it */
	nsec_t away;        /* since when its weight is 0; or 0 */
	bool settled;       /* since `away` a look has found no half-open connection */
	nsec_t look_at;     /* when to look for half-open connections again */
	bool waited;        /* the last look found a connection in its queue */
	unsigned wakes;     /* how often nclust has woken a worker since the queue was empty */
	nsec_t wake_at;     /* when nclust may wake a worker again */
	uint64_t keeper_id; /* its SO_COOKIE, if the keeper holds it; or 0 */
};

/* A listening socket that nclust holds; workers come and go. */
struct listener {
	struct address address;
	int fd;
	bool left_over; /* taken over from an nclust that was killed */
	bool made;      /* nclust has bound it; false: it was passed to nclust, or a worker has */
	struct socket_file file;
	struct socket_facts facts;
	nsec_t healed_at;   /* when nclust last reported that a worker had harmed it */
	bool watched;       /* it is in the epoll set of workers (group.h) */
	bool heal_rests;    /* shut down too often: in no epoll set for a while */
	nsec_t renew_at;    /* it gets no new socket before this time (heal.c) */
	nsec_t renew_pause; /* between the last new socket and `renew_at` */
	uint64_t renewed;   /* workers up to this serial have its former socket (heal.h); or 0 */
	unsigned users;     /* listener sets that contain it */
	struct listener_socket *sockets; /* NULL: `fd` is the only one */
	uint64_t closed[4];              /* inodes of the sockets that were closed last */
	bool own_group;     /* a server's own socket has joined the group: no steering */
	enum spread spread; /* how the kernel is to choose among the sockets */
	unsigned slots;     /* so many slots have sockets of their own; 0: none has */
	enum spread chosen; /* how the kernel chooses now: `spread`, or the next best way */
	int chosen_why;     /* why the kernel does not do `spread` (an errno); or 0 */
	uint32_t said[2];   /* what was logged of it (once.h) */

	/* A worker that binds an address with the same key gets this listener. */
	bool has_key; /* TCP or UDP */
	struct socket_key key;
	uint64_t inode;
	bool keeps_requests;          /* none is handed on: see on_refused() of drain/hand_on.c */
	struct socket_options *asked; /* heap: options that its last worker had set; or NULL */
	bool learned;                 /* a worker has bound it, and no setting named it */
	unsigned bit;                 /* learned: its bit in listening.uses */
	unsigned workers;             /* learned: how many workers have it */
	nsec_t unused_since;          /* learned: since when no worker has it; or 0 */
	bool ours_alone;              /* workers got it by bind(2) alone */
	pid_t binder;                 /* the thread that called bind(2) last */
	bool of_node;                 /* Node's workers use it, and say when they close it */
	struct supervisor *sup;
	uint64_t keeper_id; /* its SO_COOKIE, if the keeper holds it; or 0 */
};

/* Memory that workers share (segment.h). */
struct segment {
	int fd;
	uint64_t wanted; /* the size that the settings ask for */
	struct sharedmem_facts facts;
	unsigned users;
	struct supervisor *sup;
	uint64_t keeper_id; /* its sharedmem_id(), if the keeper holds it; or 0 */
};

/* The listeners of one version of the settings, in the order of `listen`; each counts the set in
 * its `users`.  If `listen` has "{slot}", the list begins with all listeners of slot 0, and the own
 * listeners of slot 1, of slot 2 and so on follow. */
struct listener_set {
	struct listener **list;
	size_t count;
	size_t row;   /* listeners of each slot; 0: all slots share all listeners */
	uint64_t own; /* 1 << place in the row: this listener is each slot's own */
};

/* Room for learned listeners: a bit each in `uses`. */
#define LEARNED_MAX 64

/* The sockets and the memory of a cluster's workers: a member of struct service. */
struct cluster_sockets {
	struct listener_set listeners; /* of the settings in force, for new recipes */
	struct listener_set learned;   /* room for LEARNED_MAX */
	struct segment *segment;       /* of the settings in force; NULL: they ask for none */
	struct segment *former; /* of the settings that a failed rollout returns to; or NULL */
	bool asleep; /* no worker until a client comes (scaling.h): learned listeners stay open */
};

/* Where a worker listens by itself: a member of struct child. */
struct listening {
	uint64_t uses;          /* bits of the learned listeners that it has bound */
	uint64_t listens;       /* bits of `uses` on which it has called listen(2) */
	uint64_t ports;         /* bits of the addresses that it listens on (ports.h) */
	uint64_t lasting;       /* bits of `ports` that a successor is to have, too (ports.h) */
	nsec_t since;           /* when it listened on the first of `ports` */
	uint64_t of_generation; /* addresses on which its generation has called listen(2) */
	uint64_t expected;      /* addresses of the worker that it replaces */
	unsigned expected_of;   /* the generation of that worker */
	uint64_t own;   /* the inode of the last socket on which it listens by itself; or 0 */
	pid_t bound_by; /* the thread that called bind(2) last */
	pid_t unproven; /* the thread that called listen(2), or the worker that said READY=1,
				   if no process was seen to wait for clients since; or 0 */
	bool awaited;   /* its readiness is not known until it listens */
	bool said;      /* READY=1, which counts once a process waits for clients */
};

/* What the room sockets watches: a member of struct supervisor (common/state.h). */
struct sockets {
	ev_timer heal_again;  /* ends the rest of listeners with `heal_rests` */
	ev_timer renewed;     /* workers with a former socket must be replaced (heal.h) */
	ev_timer trim;        /* closes learned listeners that no worker uses (learned.h) */
	ev_io paths_changed;  /* its fd: inotify on files of unix sockets, or -1 (heal.h) */
	bool has_paths;       /* some were named to paths_watch() */
	ev_timer paths_look;  /* when to look at them */
	nsec_t paths_since;   /* when the present second of looks began; or 0 */
	unsigned paths_looks; /* in that second */
	struct listener_set inherited; /* of LISTEN_FDS, or named by an `fd:N` */
};
