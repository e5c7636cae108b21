/* SPDX-License-Identifier: MIT */
#ifndef CORE_AUTOSCALE_H
#define CORE_AUTOSCALE_H

#include "base/nsec.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * `workers = MIN..MAX`: how many workers a cluster needs for its load.  Like all
 * of the core it makes no system call and reads no clock: the shell measures the
 * load, and carries out the step that this answers.
 *
 * More: connections wait to be accepted at every look for a while, or the workers
 * use most of a CPU each.  Never again before the added workers are ready, or had
 * a long time for it, nor for connections that those have not taken.  Fewer: the load has left half of the remaining workers' time
 * free for a long while, a few at a time.  A number that turned out to be too
 * small is not tried again soon, and each time later.  None: nothing was to be done
 * for `idle_after`; then the first client asks for one.
 */
enum scale_why {
	SCALE_BY_HAND,
	SCALE_QUEUE,  /* measure: connections that wait */
	SCALE_CPU,    /* measure: per cent of a CPU that a worker uses */
	SCALE_CALM,   /* measure: the same */
	SCALE_IDLE,   /* measure: seconds */
	SCALE_CLIENT, /* the first one of a cluster without workers */
	SCALE_LIMITS, /* there are other limits */
	SCALE_KEPT,   /* as an nclust before this one had it */
	SCALE_CPUS,   /* measure: how many may be used now */
	SCALE_WHYS,
};

/* What is seen at one look. */
struct load {
	nsec_t now;
	unsigned wanted; /* workers */
	unsigned ready;
	unsigned waiting;  /* connections in all accept queues */
	bool full;         /* one takes no more: its length says nothing */
	unsigned cpus;     /* that there are for all of them */
	bool held;         /* this is no time for a step */
	bool in_use;       /* a client came, or has a connection open */
	nsec_t came_at;    /* the first client since the last look; or 0: unknown */
	bool spare;        /* one more would serve at once */
	bool measured;     /* these two are new, and from SCALE_LOOK: */
	unsigned busy;     /* per mille of a CPU that a worker has used */
	unsigned pressure; /* per mille of the time: something waited for a CPU */
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

	nsec_t queued_since; /* clients have waited at each look; or 0 … */
	unsigned queued;     /* … so many then */
	nsec_t may_wait;     /* … who may wait so long */
	nsec_t near;         /* the next look; or 0: nobody waits */
	unsigned asked;      /* so many waited at the last step for them, and
				no fewer since; or 0 */
	unsigned level;      /* so many have waited at each look … */
	nsec_t level_since;  /* … since then */
	unsigned hot;        /* looks in a row at which workers were busy */
	nsec_t calm_since;   /* fewer would do; or 0 */
	nsec_t idle_since;   /* nothing was to be done; or 0 */
	nsec_t up_at;        /* the last steps; or 0 */
	nsec_t down_at;
	unsigned enough;  /* so many were, before the last step down */
	unsigned too_few; /* so many were, and are not tried before … */
	nsec_t try_at;
	nsec_t patience; /* … which is so long the next time */
};

#define SCALE_LOOK SECOND            /* from one look to the next … */
#define SCALE_LOOK_NEAR (100 * MSEC) /* … while somebody waits, at least … */
#define SCALE_LOOK_FIRST (2 * MSEC)  /* … and after the first client */
#define SCALE_COOL (30 * SECOND)     /* no step down so soon after one up */

/* "queue", "cpu" … */
const char *scale_why_name(enum scale_why why);

/* Before the first look, and for other settings. */
void autoscale_limits(struct autoscale *a, unsigned least, unsigned most, nsec_t idle_after);
/* The answer to a look: true if there is a step to be done. */
bool autoscale_look(struct autoscale *a, const struct load *load, struct scale_step *step);
/* Has there been nothing to do for long, as far as is known?  Then it is time to look
 * for open connections, which is dear. */
bool autoscale_may_sleep(const struct autoscale *a, nsec_t now);
/* How long until the next look; NSEC_NEVER: until a client comes. */
nsec_t autoscale_wait(const struct autoscale *a, unsigned wanted);

#endif
