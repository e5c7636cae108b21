/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_VOLLEY_H
#define SUPERVISOR_VOLLEY_H

#include "os/look/otherend.h"
#include "protocol/httpstatus.h"
#include "supervisor/health/aim.h"
#include "supervisor/health/asker.h"

/*
 * A volley checks workers of a cluster by several connections to its listener
 * at a time.  Any free worker may take one, so nclust cannot choose.  But it
 * finds out which worker has taken the connection (os/look/otherend.h) before
 * it sends the request (or its last bytes, if the kernel defers accepting until
 * there is data), and sends it only to workers that are to be checked.  The
 * answer, or the lack of one, counts for that worker alone.  A worker that does
 * not answer is reported again each `check-interval` without another request:
 * it would take none.  A connection that no worker takes stays in the queue and
 * counts for none.  Where each worker has a socket of its own (`balance = rr`), its
 * connection goes there, and nothing is to be found out.  The asker that has the volley (asker.h) also counts its
 * commands there.
 */
#define VOLLEY_MAX 16

enum asking_state {
	ASKING_OVER,
	ASKING_CONNECTS,
	ASKING_WAITS, /* until a worker takes it and nclust knows which */
	ASKING_TAKEN, /* `worker` has it; nclust waits for the answer */
	ASKING_LATE,  /* it has failed by that; nclust still waits */
	ASKING_REST,  /* it has answered: what follows is read */
};

struct asking {
	struct volley *volley;
	enum asking_state state;
	ev_io io; /* its fd, or -1; runs while TAKEN */
	uint64_t inode;
	bool aimed; /* at a socket that `worker` alone has, … */
	bool own;   /* … or with the other one of its slot */
	bool is_unix;
	uint32_t slot;
	uint64_t worker;
	nsec_t since;  /* when it was opened; TAKEN: then; LATE: when it was last
			 reported; REST: when its time began (asker_time()) */
	bool said_all; /* REST: that time is over, and it was told so */
	size_t sent;   /* bytes of the request */
	size_t got;
	char answer[HTTPSTATUS_MAX];
};

struct volley {
	struct asker asker;
	unsigned running; /* commands, of probes by exec: */

	struct cluster_settings *settings; /* a reference, while it runs */
	const struct probe *probe;         /* of these; tcp or http */
	struct aim aim;
	char first;    /* all that is sent before it is taken, if accepting
			  waits for data; 0: the request but for its end */
	bool in_lane;  /* ask only workers of `lane`, … */
	unsigned lane; /* … even if it gets no connections (steer.h) */

	ev_timer look;
	nsec_t step;        /* to the next look */
	nsec_t due;         /* when that is to come */
	nsec_t look_until;  /* in this turn, at workers that take none */
	nsec_t quiet_since; /* no worker has taken any since (asker_time()) */
	uint32_t cursor;    /* the next worker to search, two for a slot, for the
			     one that took it; kept, since the longest idle
			     is often next */
	uint32_t looked;    /* workers so far, in two rounds */
	bool deep;          /* processes below workers had the last one … */
	bool deep_first;    /* … so they are searched first */
	bool blind;         /* the kernel does not tell who has taken one */
	bool denied;        /* nclust may not look at some worker */
	uint64_t in_part;   /* the worker that was searched up to `place` only */
	struct otherend_place place;
	unsigned open;
	struct asking asks[VOLLEY_MAX];
};

/* The worker has failed a check, or passed it, in check.c. */
void check_failed(struct child *child, const char *why);
void check_passed(struct child *child);

void volley_init(struct volley *v); /* all but its asker */
/* Does a connection wait to be taken? */
bool volley_waits(const struct volley *v);
/* … or for an answer that may still come in time? */
bool volley_is_busy(const struct volley *v);
/* Our ports of connections that wait to be taken; returns their number. */
size_t volley_ports(const struct volley *v, uint16_t ports[VOLLEY_MAX]);
/* Has this worker been asked, and not answered? */
bool volley_asks(const struct volley *v, const struct child *child);
/* Open `count` connections to `l`, which may be NULL.  -1 and `err`: there is no
 * address to ask at. */
int volley_fire(struct volley *v, const struct listener *l, const struct cluster_settings *settings,
	const struct probe *probe, unsigned count, struct error *err);
/* Did the last connections go to where this worker is asked? */
bool volley_is_at(const struct volley *v, const struct child *child);
/* Which of two workers (`a` may be NULL) is to be asked first: one whose address did not
 * get the last connections, so that no address waits for another. */
const struct child *volley_next(
	const struct volley *v, const struct child *a, const struct child *b);
/* The worker is being stopped: close connections that it has taken, or that
 * only it could take. */
void volley_let_go(struct volley *v, uint32_t slot, uint64_t worker);
/* Close all connections without a result, but for those that have one: the rest
 * of an answer is read on.  volley_end(): those, too. */
void volley_stop(struct volley *v);
void volley_end(struct volley *v);

#endif
