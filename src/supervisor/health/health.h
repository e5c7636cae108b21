/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_H
#define SUPERVISOR_HEALTH_H

#include "os/look/connections.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

extern const struct part health_part;

/* The health of workers, as nclust observes it: probes of readiness (prove.c),
 * checks (check.c), stalls (stall.c), memory (recycle.c).  Where no setting
 * asks for one there is no struct and no timer. */
struct cookies {
	uint64_t *list; /* heap; of connections, in their order */
	size_t count;
};

struct health {
	bool proving;      /* the `ready` probe has not succeeded yet */
	nsec_t tried_at;   /* exec: when it was tried last */
	unsigned round;    /* the last round of checks with an answer */
	unsigned failures; /* failed checks in a row */
	unsigned warm;     /* a spare: checks that it has passed … */
	nsec_t warm_at;    /* … and when it had its last result */
	uint64_t ok;
	uint64_t failed;
	char last[96];              /* how the last check failed; or "" */
	struct helper *helper;      /* exec: the command that runs, or NULL, … */
	struct volley *asks;        /* … and the volley that runs it */
	nsec_t moved_at;            /* stall: when it made progress, or 0; … */
	nsec_t moved_cpu;           /* … its CPU time then … */
	uint64_t moved_print;       /* … and the print of its connections */
	uint64_t asked;             /* inode of our last check's other end, or 0 */
	unsigned seen;              /* the round in which it waited for connections */
	nsec_t away_since;          /* since then it was seen away (away.h); or 0 … */
	uint64_t away_print;        /* … with this print of its connections */
	bool away_found;            /* that was reported */
	struct cookies silent_seen; /* since then it has taken none … */
	nsec_t silent_since;        /* … but those (silence.h), … */
	nsec_t silent_looked;       /* … at the last look; 0: none was made */
	bool silent;                /* … for so long that it has failed */
	nsec_t hang_looked;         /* request-timeout: when we looked last */
	uint64_t hang_cookie;       /* the connection with a late answer, or 0 */
	char hang[96];              /* the request that was too late; or "" */
	nsec_t above_since;         /* max-memory: it was exceeded since; or 0 */
	bool outgrown;              /* … and that was reported */
	bool counts;                /* max-requests: begun (count.c) … */
	bool counted;               /* … and it can be known … */
	uint64_t requests;          /* … connections that it got since then … */
	uint64_t given;             /* … and what they were counted by … */
	nsec_t counted_at;          /* … at the last look … */
	nsec_t count_pause;         /* … and from it to the next, as none came */
};

/* How a worker's health goes through an upgrade. */
extern const struct carried carried_health;

/* The worker's health, made on first use.  NULL: out of memory. */
struct health *health_of(struct child *child);

/* Is this worker ready, and wanted to be? */
bool health_is_ready(const struct child *child);
bool health_same_probe(const struct probe *a, const struct probe *b);

/* Must a drain not wait for this connection of the worker: a check of our own,
 * which it may never read, or a request that exceeds request-timeout? */
bool health_gives_up(const struct child *child, const struct connection *c);
/* For how many connections must it not wait: of a listener, in its queue; else 1 if not
 * for this one. */
unsigned health_given_up(const struct child *child, const struct connection *c);

#define HEALTH_EXEC_AT_ONCE 16
/* Run the command of `probe` as a helper of the worker.  The asker's `answered`
 * gets the result, unless the worker is gone by then.  -1 and `err`. */
struct volley;
int health_exec(
	struct child *child, struct volley *asks, const struct probe *probe, struct error *err);
/* It is ready: count its connections from now on, if its settings ask for it. */
void health_count(struct child *child);
/* Are all workers held by clients that say nothing?  A member "held" of a status. */
void held_on_status(struct json_writer *w, const struct service *service);
/* The worker was started: probe it, if its settings ask for that. */
void health_prove(struct child *child);
/* "GET /health", "exec:…", "tcp". */
const char *health_probe_text(char to[96], const struct probe *probe);

#endif
