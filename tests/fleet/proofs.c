/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include <inttypes.h>

/*
 * Small fleets of all kinds.  A rule holds in those that it speaks of, and has to
 * speak of some: else they have become too tame.
 */
enum rule {
	RULE_SAME,      /* the same seed gives the same result */
	RULE_ALL,       /* a good release gets everywhere, … */
	RULE_FULL,      /* … and hosts that serve on lose no capacity … */
	RULE_OUT,       /* … but those at once that are taken out */
	RULE_GATE,      /* what is never ready answers nobody */
	RULE_FIRST,     /* one failure ends it with that batch */
	RULE_COUNT,     /* so many failures end it */
	RULE_CANARY,    /* what exits within the bake was a canary */
	RULE_STAGE,     /* what is seen within the soak stays in its stage */
	RULE_EVERYBODY, /* each host has an outcome */
	RULES,
};

static const char *const rule_names[RULES] = {"same seed, same result",
	"a good release gets everywhere", "no capacity is lost", "capacity but for those taken out",
	"not ready, no answer", "one failure ends it", "so many failures end it",
	"only canaries exited within the bake", "only the first hosts had it",
	"each host has an outcome"};

struct proofs {
	struct fleet draws; /* for its random numbers */
	struct plan plan;
	struct result result;
	uint64_t seed;
	unsigned spoke[RULES];
	bool broken;
};

static unsigned draw(struct proofs *p, unsigned least, unsigned most)
{
	return (unsigned)ahead_span(&p->draws, least, most);
}

static bool chance(struct proofs *p, unsigned per_cent)
{
	return draw(p, 1, 100) <= per_cent;
}

static nsec_t span(struct proofs *p, nsec_t least, nsec_t most)
{
	return ahead_span(&p->draws, least, most);
}

static void draw_faults(struct proofs *p, struct plan *plan)
{
	plan->dead = chance(p, 50) ? draw(p, 1, 2) : 0;
	plan->dying = chance(p, 50) ? draw(p, 1, 60) : 0;
	plan->cut = chance(p, 50) ? draw(p, 1, plan->hosts / 3) : 0;
	plan->cut_at = span(p, 0, 2 * MINUTE);
	plan->cut_for = span(p, SECOND, 5 * MINUTE);
	plan->counts_absent = chance(p, 50);
}

static void draw_plan(struct proofs *p)
{
	struct plan plan = {
		.hosts = draw(p, 6, 40),
		.workers = draw(p, 1, 24),
		.load = (double)draw(p, 40, 95) / 100,
		.fault = (enum fault)draw(p, 0, 3),
		.life = span(p, SECOND, 90 * SECOND),
		.exactly = chance(p, 50),
		.start = span(p, 100 * MSEC, 10 * SECOND),
		.notice = span(p, MINUTE, 5 * MINUTE),
		.canary = chance(p, 60) ? draw(p, 1, 4) : 0,
		.bake = chance(p, 70) ? span(p, SECOND, 3 * MINUTE) : 0,
		.surge = draw(p, 1, 3),
		.taken_out = chance(p, 40),
		.failures = draw(p, 0, 3),
	};

	plan.at_once = draw(p, 1, plan.hosts / 2);
	if (chance(p, 50)) {
		plan.first = draw(p, 1, 3);
		plan.soak = span(p, SECOND, 8 * MINUTE);
	}
	if (plan.canary > 0 && chance(p, 50)) { /* long enough to see it */
		plan.exactly = true;
		plan.bake = plan.life + span(p, SECOND, MINUTE);
		plan.failures = 1;
	}
	if (plan.canary > plan.workers)
		plan.canary = plan.workers;
	if (chance(p, 30))
		draw_faults(p, &plan);
	p->plan = plan;
}

static void rule(struct proofs *p, enum rule rule, bool holds)
{
	p->spoke[rule]++;
	if (holds)
		return;
	p->broken = true;
	fprintf(stderr,
		"fleet: seed %" PRIu64 ": not so: %s (%u hosts of %u workers, "
		"%u at once; %u replaced, %u failed, %u absent, %u tried, %u "
		"reached; capacity %.4f, bad %.4f)\n",
		p->seed, rule_names[rule], p->plan.hosts, p->plan.workers, p->plan.at_once,
		p->result.replaced, p->result.failed, p->result.absent, p->result.tried,
		p->result.reached, p->result.least, p->result.worst);
}

static bool is_same(const struct result *a, const struct result *b)
{
	return a->stopped == b->stopped && a->took == b->took && a->clean == b->clean &&
		a->replaced == b->replaced && a->failed == b->failed && a->absent == b->absent &&
		a->reached == b->reached && a->tried == b->tried && !(a->least < b->least) &&
		!(a->least > b->least) && !(a->bad_seconds < b->bad_seconds) &&
		!(a->bad_seconds > b->bad_seconds) && !(a->lost_seconds < b->lost_seconds) &&
		!(a->lost_seconds > b->lost_seconds);
}

static unsigned batch(const struct plan *plan)
{
	return plan->first > 0 ? plan->first : plan->at_once;
}

static unsigned largest(const struct plan *plan)
{
	return plan->first > plan->at_once ? plan->first : plan->at_once;
}

/* But for the rounding. */
static bool is_least(double a, double b)
{
	return a > b - 1e-9;
}

static void check_good(struct proofs *p)
{
	const struct plan *plan = &p->plan;
	const struct result *r = &p->result;
	double out = largest(plan);

	if (plan->fault == FAULT_NONE)
		rule(p, RULE_ALL, r->replaced == plan->hosts && !r->stopped && r->took > 0);
	if (plan->fault > FAULT_EXITS_EARLY)
		return;
	if (!plan->taken_out)
		rule(p, RULE_FULL, is_least(r->least, 1) && r->refused_seconds <= 0);
	else
		rule(p, RULE_OUT, is_least(r->least, 1 - out / plan->hosts));
}

static void check_bad(struct proofs *p)
{
	const struct plan *plan = &p->plan;
	const struct result *r = &p->result;
	double workers = (double)batch(plan) * plan->canary;
	unsigned most = plan->failures + largest(plan);

	if (plan->fault == FAULT_EXITS_EARLY)
		rule(p, RULE_GATE, r->reached == 0 && r->bad_seconds <= 0);
	if (plan->fault == FAULT_EXITS_EARLY && plan->failures == 1)
		rule(p, RULE_FIRST, r->stopped && r->tried == batch(plan));
	if (plan->failures > 1 && plan->fault == FAULT_EXITS_EARLY)
		rule(p, RULE_COUNT, r->stopped && r->failed >= plan->failures && r->failed < most);
	if (plan->fault == FAULT_EXITS_LATER && plan->exactly && plan->life < plan->bake &&
		plan->canary > 0 && plan->failures == 1)
		rule(p, RULE_CANARY,
			r->reached <= batch(plan) &&
				is_least(workers / plan->hosts / plan->workers, r->worst));
	if (plan->fault == FAULT_ANSWERS && plan->first > 0 && plan->soak > plan->notice)
		rule(p, RULE_STAGE, r->reached <= plan->first && r->clean > 0);
}

static void check(struct proofs *p)
{
	const struct plan *plan = &p->plan;
	const struct result *r = &p->result;
	struct result again = fleet_run(plan, p->seed, NULL);

	rule(p, RULE_SAME, is_same(r, &again));
	if (!r->stopped)
		rule(p, RULE_EVERYBODY, r->replaced + r->failed + r->absent == plan->hosts);
	if (plan->dead + plan->dying + plan->cut > 0)
		return;
	check_good(p);
	check_bad(p);
}

/* Chance has a say: another seed is another world. */
static bool seeds_differ(void)
{
	static const struct plan plan = {.hosts = 10,
		.workers = 4,
		.load = .5,
		.start = SECOND,
		.notice = MINUTE,
		.at_once = 2,
		.surge = 1};
	struct result a = fleet_run(&plan, 1, NULL);
	struct result b = fleet_run(&plan, 2, NULL);

	return !is_same(&a, &b);
}

bool proofs_run(uint64_t seeds)
{
	struct proofs p = {0};

	for (p.seed = 1; p.seed <= seeds; p.seed++) {
		p.draws.random = p.seed * 2654435761U;
		draw_plan(&p);
		p.result = fleet_run(&p.plan, p.seed, NULL);
		check(&p);
	}
	printf("%" PRIu64 " fleets", seeds);
	for (int i = 0; i < RULES; i++) {
		printf("%s%s %u", i % 3 == 0 ? "\n  " : ", ", rule_names[i], p.spoke[i]);
		if (p.spoke[i] == 0 && seeds >= 200) {
			fprintf(stderr, "fleet: no world has tried: %s\n", rule_names[i]);
			p.broken = true;
		}
	}
	printf("\n");
	if (!seeds_differ()) {
		fprintf(stderr, "fleet: two seeds, and the same world\n");
		p.broken = true;
	}
	return !p.broken;
}
