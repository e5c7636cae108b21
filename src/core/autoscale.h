/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>

/*
 * `workers = MIN..MAX`: how many workers a cluster needs for its load.  Like all of
 * the core it makes no system call and reads no clock: the shell measures the load,
 * and carries out the step that is the answer.
 *
 * More: connections wait to be accepted at every look for a while, or the workers use
 * most of a CPU each.  Never again before the added workers are ready, or had a long
 * time for it, nor for connections that these have not taken.  Fewer: the load has
 * left half of the remaining workers' time free for a long while, a few at a time.  A
 * number that turned out to be too small is not tried again soon, and each time later.
 * None: nothing was to be done for `idle_after`; then the first client asks for one.
 */
enum scale_why {
	SCALE_BY_HAND,
	SCALE_QUEUE,  /* measure: connections that wait */
	SCALE_CPU,    /* measure: per cent of a CPU that a worker uses */
	SCALE_CALM,   /* measure: per cent of a CPU that a worker uses */
	SCALE_IDLE,   /* measure: seconds */
	SCALE_CLIENT, /* the first client of a cluster without workers */
	SCALE_LIMITS, /* the limits have changed */
	SCALE_KEPT,   /* the number of an earlier nclust */
	SCALE_CPUS,   /* measure: how many CPUs may be used now */
	SCALE_PORT,   /* a new release may open another port */
	SCALE_SHARES, /* its copies can share a port, or nclust would not see one */
	SCALE_WHYS,
};

/* What the shell has seen at one look. */
struct load {
	nsec_t now;
	unsigned wanted; /* workers */
	unsigned ready;
	unsigned waiting;  /* connections in all accept queues */
	bool full;         /* a queue is full: its length says nothing */
	unsigned cpus;     /* for all workers together */
	bool held;         /* no step may be taken now */
	bool in_use;       /* a client came, or has a connection open */
	nsec_t came_at;    /* the first client since the last look; or 0: unknown */
	bool spare;        /* one more worker would serve at once */
	bool measured;     /* the following two are new, and from SCALE_LOOK: */
	unsigned busy;     /* per mille of a CPU that a worker has used */
	unsigned pressure; /* per mille of the time in which a process waited for a CPU */
};

struct scale_step {
	unsigned wanted;
	enum scale_why why;
	unsigned measure;
};

struct autoscale {
	unsigned least;
	unsigned most;
	nsec_t idle_after;

	nsec_t queued_since; /* since then clients have waited at each look; or 0 */
	unsigned queued;     /* clients that waited then; hardly fewer have since */
	nsec_t may_wait;     /* how long so many clients may wait */
	nsec_t near;         /* time until the next look; or 0: no client waits */
	unsigned asked;      /* clients that waited at the last step for them, and still do; or 0 */
	unsigned level;      /* clients that have waited at each look since level_since */
	nsec_t level_since;  /* since then */
	unsigned hot;        /* looks in a row at which workers were busy */
	nsec_t calm_since;   /* since then fewer workers would do; or 0 */
	nsec_t idle_since;   /* since then nothing was to be done; or 0 */
	nsec_t up_at;        /* time of the last step up, and down; or 0 */
	nsec_t down_at;
	unsigned enough;  /* workers before the last step down */
	unsigned too_few; /* a number of workers that was too small, not tried before try_at */
	nsec_t try_at;
	nsec_t patience; /* between two tries; grows each time */
};

#define SCALE_LOOK SECOND            /* between two looks */
#define SCALE_LOOK_NEAR (100 * MSEC) /* at most, while a client waits */
#define SCALE_LOOK_FIRST (2 * MSEC)  /* after the first client */
#define SCALE_COOL (30 * SECOND)     /* from a step up to the next step down */

/* "queue", "cpu" and so on. */
const char *scale_why_name(enum scale_why why);

/* Set the limits, before the first look and for other settings. */
void autoscale_limits(struct autoscale *a, unsigned least, unsigned most, nsec_t idle_after);
/* Handle a look: true if a step is to be taken. */
bool autoscale_look(struct autoscale *a, const struct load *load, struct scale_step *step);
/* Was there nothing to do for long, as far as is known?  Then it is time to look for
 * open connections, which is expensive. */
bool autoscale_may_sleep(const struct autoscale *a, nsec_t now);
/* How long until the next look; NSEC_NEVER: until a client comes. */
nsec_t autoscale_wait(const struct autoscale *a, unsigned wanted);
