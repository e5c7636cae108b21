/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SOCKETS_STATE_H
#define SUPERVISOR_SOCKETS_STATE_H

#include "base/nsec.h"
#include "config/config.h"
#include "os/eventset.h"
#include "os/place/sharedmem.h"
#include "os/socket/socket.h"
#include "os/socket/socket_key.h"
#include "os/socket/socket_options.h"
#include "supervisor/orphans/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What nclust holds for its workers: all rooms see it, this one makes it. */
struct supervisor;
struct turns;

/* How the kernel chooses among several sockets of a listener. */
enum spread {
	SPREAD_LANES,   /* by chance, as many as a lane has workers */
	SPREAD_CHANCE,  /* the same, where each slot has a lane */
	SPREAD_CLIENTS, /* each client's address has its own */
	SPREAD_FLOWS,   /* of UDP: each client's address and port */
	SPREAD_TURNS,   /* as many as a lane has workers, in turn */
};

/* One of several sockets of a listener (steer.h). */
struct listener_socket {
	struct listener_socket *next;
	int fd;
	uint64_t inode;
	unsigned lane;   /* workers of this and later lanes get it */
	unsigned place;  /* in the kernel's group */
	unsigned weight; /* of new connections */
	unsigned seat;   /* whose it is; SPREAD_CLIENTS alone */
	bool served;     /* it ever had any */
	bool bound;      /* its worker has asked for it, by a bind(2) */
	nsec_t away;     /* since when it has none; or 0 */
	bool settled;    /* nothing was half open since then */
	nsec_t ask_at;   /* when to look for half-open ones */
	bool waited;     /* somebody waited in its queue at the last look */
	unsigned knocks; /* since its queue was empty */
	nsec_t knock_at; /* the next, not before */
	uint64_t held;   /* the cookie by which the keeper has it; or 0 */
	uint64_t given;  /* connections, as far as that is counted */
	unsigned turns;  /* of a round, in the program in force (turns.h) */
};

/* A listening socket that nclust holds; workers come and go. */
struct listener {
	struct address address; /* a copy */
	int fd;
	bool left_over; /* an earlier nclust had it, which was killed */
	bool made;      /* we bound it (else it came from outside) */
	struct socket_file file;
	struct socket_facts facts;
	nsec_t healed_at;                /* when a harm done to it was last reported */
	int heal;                        /* the epoll set it is in (heal.h), or -1 */
	bool heal_rests;                 /* it is in none for a while: it was shut down so often */
	nsec_t renew_at;                 /* it gets no other socket before that … */
	nsec_t renew_pause;              /* … which was so long after the last one (renew.c) */
	uint64_t renewed;                /* workers up to this serial have a former socket of it
			     (renew.h); or 0 */
	unsigned users;                  /* services' sets that hold it */
	struct listener_socket *sockets; /* NULL: there is but `fd` */
	uint64_t closed[4];              /* inodes of the latest that were */
	bool own_group;                  /* a server has joined them by itself: not steered */
	enum spread spread;              /* how the kernel is to choose among them … */
	unsigned seats;                  /* … and how many there are, or are to be; … */
	enum spread chosen;              /* … what it does instead, or the same, and … */
	int chosen_why;                  /* … why (an errno); or 0 */
	bool counted;                    /* `max-requests`: the sockets' `given` is kept … */
	struct turns *turns;             /* … with that; or NULL */
	bool alone_told;                 /* that workers share it, though they were to have
			    sockets of their own */

	/* A worker that binds by itself gets it where the key is the same. */
	bool has_key; /* TCP or UDP */
	struct socket_key key;
	uint64_t inode;
	struct socket_options *asked; /* heap: what the last worker that got it
					 had set before its bind, or NULL */
	bool learned;                 /* of a worker's bind, not of a setting */
	unsigned bit;                 /* learned: in listening.uses */
	unsigned workers;             /* learned: so many have it … */
	nsec_t unused_since;          /* … since when none; or 0 */
	bool limit_told;
	bool ranged; /* a worker took it after the one before was in use */
	bool beside_told;
	bool ours_alone; /* no worker got it by other means than a bind */
	pid_t binder;    /* the thread that bound it last */
	bool of_node;    /* Node's workers have asked for it, and say if they close it */
	struct supervisor *sup;
	uint64_t held; /* the cookie by which the keeper has it; or 0 */
};

/* Memory that workers share (segment.h). */
struct segment {
	int fd;
	uint64_t wanted; /* by the settings; with … */
	enum huge_pages huge;
	struct sharedmem_facts facts;
	unsigned users;
	struct supervisor *sup;
	uint64_t held; /* the sharedmem_id() by which the keeper has it; or 0 */
};

/* Listeners in their order; those of one settings version are counted in `users`.
 * Where some are each slot's own (`listen` has "{slot}"), those of slot 0 stand among
 * the others, and after all of them those of slot 1, of slot 2, ... */
struct listener_set {
	struct listener **list;
	size_t count;
	size_t row;   /* so many has a slot; 0: all are for all slots */
	uint64_t own; /* 1 << place, of those that are a slot's own */
};

/* Room for learned listeners: a bit each in `uses`. */
#define LEARNED_MAX 64

/* What a cluster's workers get.  It is in struct service. */
struct held {
	struct listener_set listeners; /* in force, and for new recipes */
	struct listener_set learned;   /* room for LEARNED_MAX; none is named,
					unless a reload has named it since */
	struct segment *segment;       /* in force, as above; NULL: none is wanted */
	struct segment *former;        /* what a rollout may go back to; or NULL */
	bool asleep;                   /* no worker is wanted until a client comes: learned
			listeners stay (scaling.h) */
};

/* Where a worker listens by itself.  It is in struct child. */
struct listening {
	uint64_t uses;        /* learned listeners that it has bound, … */
	uint64_t listens;     /* … and called listen(2) on */
	uint64_t ports;       /* addresses that it listens on (ports.h), … */
	uint64_t lasting;     /* … and did when it became ready */
	uint64_t mates;       /* those where one of its generation has by itself */
	uint64_t expected;    /* those that workers before it listen on, … */
	unsigned expected_of; /* … of that generation */
	pid_t bound_by;       /* the thread that bound one, last */
	bool awaited;         /* without a port it is not known if it is ready */
	unsigned refused;     /* the last port that was in use; or 0 */
};

/* What this room alone watches: it is in struct supervisor of common/state.h. */
struct sockets {
	struct eventset listening;     /* see heal.h */
	ev_io heal;                    /* it has something */
	ev_timer heal_again;           /* for those that rest */
	ev_timer renewed;              /* workers have a former socket (renew.h) */
	ev_timer trim;                 /* learned listeners that nobody uses (learned.h) */
	struct listener_set inherited; /* open at start: of our own LISTEN_FDS,
					  or named by an `fd:N` */
};

#endif
