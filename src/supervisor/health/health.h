/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_H
#define SUPERVISOR_HEALTH_H

#include "os/look/connections.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

extern const struct part health_part;

/*
 * How workers are, as far as nclust has to find out by itself: probes of
 * readiness (prove.h), checks (check.h), stall (stall.h), memory (recycle.h).
 * Nothing of it exists, and no timer runs, where no setting asks for it.
 */
struct health {
	bool proving;      /* it has to answer to `ready` yet */
	nsec_t tried_at;   /* exec: the last try of that */
	unsigned round;    /* of checks: it has answered in this one */
	unsigned failures; /* in a row */
	uint64_t ok;
	uint64_t failed;
	char last[96];         /* how the last one failed; or "" */
	struct helper *helper; /* exec: the question under way, or NULL, … */
	unsigned *running;     /* … where it is counted, … */
	void (*over)(struct child *child, bool well, const char *why);
	nsec_t moved_at;      /* stall: it was seen to move then, or 0; … */
	nsec_t moved_cpu;     /* … it had used so much … */
	uint64_t moved_print; /* … and its connections were like that */
	uint64_t asked;       /* its end (inode) of our last question, or 0 */
	unsigned seen;     /* check: in that round it waited for connections */
	nsec_t away_since; /* it has not since, at any look; or 0 … */
	uint64_t away_print;  /* … and its connections were like that */
	bool away_found;      /* for so long that it has been reported */
	nsec_t hang_looked;   /* request-timeout: the last look */
	uint64_t hang_cookie; /* at which an answer was long in coming, or 0 */
	char hang[96];        /* what it owes, once it exceeds it; or "" */
	nsec_t above_since;   /* max-memory: at each look; or 0 */
	bool outgrown;        /* … and it was told */
};

/* How what is known of a worker goes through an upgrade. */
extern const struct carried carried_health;

/* For prove.c and check.c.  NULL: out of memory. */
struct health *health_of(struct child *child);

/* Is this worker ready, and wanted to be? */
bool health_is_ready(const struct child *child);
bool health_same_probe(const struct probe *a, const struct probe *b);

/* Is this connection of it one that no drain waits for: our own check, which it
 * may never read, or a request that exceeds request-timeout? */
bool health_gives_up(const struct child *child, const struct connection *c);

#define HEALTH_EXEC_AT_ONCE 16
/* Run the command of `probe`: its worker's helper.  `over` gets the child; of
 * one that is gone nobody hears.  -1 and `err`. */
int health_exec(struct child *child, const struct probe *probe, nsec_t patience,
	unsigned *running,
	void (*over)(struct child *child, bool well, const char *why),
	struct error *err);
/* One that was carried goes on. */
void health_exec_carried(struct child *child, unsigned *running,
	void (*over)(struct child *child, bool well, const char *why));
/* "GET /health", "exec:…", "tcp". */
const char *health_probe_text(char to[96], const struct probe *probe);

#endif
