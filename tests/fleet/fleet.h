/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/view.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * A release goes to a fleet of hosts, on paper.  Each host runs the real core
 * (src/core); what is made up are its processes, a deploy tool that goes from
 * host to host as a playbook does, a load balancer, and what goes wrong.  All
 * of it follows from the plan and the seed.
 */

enum fault {
	FAULT_NONE,
	FAULT_EXITS_EARLY, /* before it is ready */
	FAULT_EXITS_LATER, /* some time after it was ready */
	FAULT_ANSWERS,     /* wrongly; it never exits */
};

struct plan {
	/* the fleet */
	unsigned hosts;
	unsigned workers; /* on each */
	double load;      /* of what all workers together can answer */

	/* the release */
	enum fault fault;
	nsec_t life;   /* FAULT_EXITS_LATER: so long on average, … */
	bool exactly;  /* … or for each worker */
	nsec_t start;  /* half to one and a half of that until it is ready */
	nsec_t notice; /* so long after the first answer of a bad release a
			  person stops it, whatever the tools have seen */

	/* the roll */
	unsigned at_once;   /* hosts, after … */
	unsigned first;     /* … so many, which are watched … */
	nsec_t soak;        /* … for so long; 0: there is no such stage */
	unsigned canary;    /* `--canary` and … */
	nsec_t bake;        /* … `--bake` on each host */
	unsigned surge;     /* on each host */
	bool taken_out;     /* of the load balancer meanwhile */
	unsigned failures;  /* it stops after so many; 0: never */
	bool counts_absent; /* a host that does not answer is a failure */

	/* the world */
	unsigned dead;  /* hosts from the beginning on */
	unsigned dying; /* hosts an hour */
	unsigned cut;   /* hosts of one rack: from the tool, the load balancer
			   and the clients, … */
	nsec_t cut_at;
	nsec_t cut_for;
};

/* Shares are of 1; `_seconds` is so much of the whole fleet's traffic. */
struct result {
	bool stopped;      /* before it came to all hosts */
	nsec_t took;       /* until the last host, or the stop */
	nsec_t clean;      /* until nobody ran a bad release any more; 0: nobody did */
	unsigned replaced; /* hosts; so too: */
	unsigned failed;
	unsigned absent;        /* did not answer */
	unsigned reached;       /* a bad worker served there */
	unsigned tried;         /* it was begun */
	double least;           /* capacity */
	double end;             /* capacity */
	double worst;           /* share of workers that served and were bad */
	double bad_seconds;     /* answered by a bad release */
	double refused_seconds; /* more load than capacity */
	double lost_seconds;    /* sent to a host that was gone */
};

struct process {
	uint64_t id; /* 0: none */
	bool is_new; /* of the new release */
	bool serves;
};

enum errand { /* of the tool on a host */
	ERRAND_NONE,
	ERRAND_REACHES,
	ERRAND_EMPTIES,
	ERRAND_ROLLS,
	ERRAND_OVER,
	ERRAND_BACK, /* to the release of before */
};

enum outcome { OUTCOME_REPLACED, OUTCOME_FAILED, OUTCOME_ABSENT };

struct host {
	struct cluster *core;
	struct process (*processes)[2];
	nsec_t armed;     /* when its core gets the next tick */
	bool new_release; /* on its disk */

	bool down;        /* for good */
	bool cut;         /* for a while */
	bool known_gone;  /* to the load balancer */
	bool out;         /* by the tool */
	int ready;        /* workers that serve, … */
	int bad;          /* … and of a bad release */
	unsigned crashes; /* of workers of the new release that served */
	bool reached;

	enum errand errand;
	unsigned rollout; /* that it waits for */
	bool replaced;
};

/* Something that is to come. */
enum thing_kind {
	THING_EVENT, /* `event` is for the host's core */
	THING_TICK,  /* its deadline */
	THING_REACHED,
	THING_EMPTY,
	THING_OUTCOME, /* `outcome` */
	THING_BACK,    /* the release of before is to come to this host */
	THING_SOAKED,
	THING_NOTICED,
	THING_DIES,
	THING_CUT,
	THING_HEALS,
	THING_SEEN, /* by the load balancer */
	THING_MINUTE,
};

struct thing {
	nsec_t at;
	uint64_t order;
	enum thing_kind kind;
	unsigned host;
	enum outcome outcome;
	uint32_t slot; /* of an event, with: */
	uint64_t worker;
	enum event_kind event;
	int signal; /* EVENT_EXITED: or 0, status 1 */
};

struct fleet {
	struct plan plan;
	uint64_t random;
	nsec_t now;
	struct cluster_settings *settings;
	struct host *hosts;
	struct result result;
	FILE *minutes; /* where a line for each minute goes; or NULL */

	struct thing *things; /* a heap */
	size_t thing_count;
	size_t thing_room;
	uint64_t thing_order;

	/* workers to which the load balancer sends, … */
	int serving; /* … that answer, … */
	int bad;     /* … of these, of a bad release, and … */
	int ghosts;  /* … that are gone */

	/* the tool */
	unsigned next;  /* host */
	unsigned begun; /* hosts of the batch under way, … */
	unsigned left;  /* … and those of them that are not over */
	bool over;
	bool stopped;      /* and goes back; also after it was over */
	bool first_answer; /* of a bad release has been */
	unsigned going_back;
	nsec_t bad_until; /* the last bad worker served then */
};

_Noreturn void fleet_complain(const struct fleet *f, const char *what);
/* Until the roll is over, and nobody serves a bad release any more. */
struct result fleet_run(const struct plan *plan, uint64_t seed, FILE *minutes);

/* ahead.c: what is to come, and chance */
void ahead_add(struct fleet *f, nsec_t at, struct thing thing);
struct thing ahead_take(struct fleet *f);
nsec_t ahead_span(struct fleet *f, nsec_t least, nsec_t most);
/* As long as things last that end by chance. */
nsec_t ahead_life(struct fleet *f, nsec_t mean);

/* host.c */
void host_init(struct fleet *f, struct host *h);
void host_fini(struct fleet *f, struct host *h);
/* Replace its workers, by what is on its disk. */
void host_roll(struct fleet *f, struct host *h, unsigned canary, nsec_t bake);
void host_event(struct fleet *f, struct host *h, const struct thing *thing);
void host_tick(struct fleet *f, struct host *h);
bool host_runs_new(const struct fleet *f, const struct host *h);
static inline bool host_answers(const struct host *h)
{
	return !h->down && !h->cut;
}

/* traffic.c: who answers what; it is told before and after each change */
void traffic_leave(struct fleet *f, const struct host *h);
void traffic_join(struct fleet *f, const struct host *h);
void traffic_pass(struct fleet *f, nsec_t until);

/* deployer.c: the tool */
void deployer_begin(struct fleet *f);
void deployer_thing(struct fleet *f, const struct thing *thing);
/* A rollout of a host has ended. */
void deployer_told(struct fleet *f, struct host *h, bool done);
/* A host does not answer any more. */
void deployer_lost(struct fleet *f, struct host *h);
bool deployer_is_done(const struct fleet *f);

/* proofs.c: what must hold in small fleets of any kind; false: something did not */
bool proofs_run(uint64_t seeds);
