/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include "base/scope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * fleet [--seed N] [TABLE...]: how a release should go to 1,000 hosts of 64 workers
 * each.  The tables are what nclust-fleet(7) advises by.  --minutes shows what
 * becomes of one bad release, minute by minute; --check SEEDS tries small fleets of
 * all kinds, in which rules must hold.
 */
static const struct plan usual = {
	.hosts = 1000,
	.workers = 64,
	.load = .8,
	.start = 2 * SECOND,
	.notice = 15 * MINUTE,
	.at_once = 100,
	.surge = 1,
	.failures = 1,
};

/* ---- printing ---- */

static void put_time(nsec_t t)
{
	double s = nsec_seconds(t);

	if (t == 0)
		printf("        -");
	else if (s < 120)
		printf(" %6.0f s", s);
	else if (s < 7200)
		printf(" %4.0f min", s / 60);
	else
		printf(" %6.1f h", s / 3600);
}

static void title(const char *text, const char *columns)
{
	printf("\n%s\n%s\n", text, columns);
}

static void put_hosts(const struct plan *plan)
{
	printf("  %4.1f %% ", 100. * plan->at_once / plan->hosts);
}

/* ---- a release without a fault ---- */

static void good(uint64_t seed)
{
	static const unsigned hosts[] = {1, 10, 50, 100, 250};

	title("A good release at a load of 80 %.  Its hosts serve meanwhile, "
	      "or "
	      "are taken out\nof the load balancer:",
		"  at once      time  capacity  refused      time  capacity  "
		"refused");
	for (unsigned i = 0; i < COUNT_OF(hosts); i++) {
		struct plan plan = usual;

		plan.at_once = hosts[i];
		put_hosts(&plan);
		for (int out = 0; out < 2; out++) {
			struct result r;

			plan.taken_out = out != 0;
			r = fleet_run(&plan, seed, NULL);
			printf(" ");
			put_time(r.took);
			printf("   %5.1f %%  %5.1f s", 100 * r.least, r.refused_seconds);
		}
		printf("\n");
	}
}

static void slow(uint64_t seed)
{
	static const nsec_t starts[] = {2 * SECOND, 10 * SECOND, 30 * SECOND, 90 * SECOND};

	title("A release that starts slowly, 10 % of the hosts at once: the "
	      "time "
	      "by 'surge'\n('start-timeout' is 60 s):",
		"  a start    surge 1   surge 2   surge 4   hosts failed");
	for (unsigned i = 0; i < COUNT_OF(starts); i++) {
		unsigned failed = 0;

		printf(" ");
		put_time(starts[i]);
		for (unsigned surge = 1; surge <= 4; surge *= 2) {
			struct plan plan = usual;
			struct result r;

			plan.start = starts[i];
			plan.surge = surge;
			r = fleet_run(&plan, seed, NULL);
			printf(" ");
			put_time(r.took);
			failed = r.failed;
		}
		printf("   %12u\n", failed);
	}
}

/* ---- bad releases ---- */

static void early(uint64_t seed)
{
	static const unsigned hosts[] = {1, 10, 100, 250};
	static const unsigned after[] = {1, 50, 0};

	title("A release that exits before it is ready.  The roll stops after "
	      "so "
	      "many hosts\n(0: never):",
		"  at once   stops after      time   hosts tried  capacity   "
		"answered");
	for (unsigned i = 0; i < COUNT_OF(hosts); i++)
		for (unsigned k = 0; k < COUNT_OF(after); k++) {
			struct plan plan = usual;
			struct result r;

			plan.fault = FAULT_EXITS_EARLY;
			plan.at_once = hosts[i];
			plan.failures = after[k];
			r = fleet_run(&plan, seed, NULL);
			put_hosts(&plan);
			printf("   %11u ", after[k]);
			put_time(r.took);
			printf("   %11u   %5.1f %%   %6.2f s\n", r.tried, 100 * r.least,
				r.bad_seconds);
		}
}

static void put_bad(const struct plan *plan, uint64_t seed)
{
	struct result r = fleet_run(plan, seed, NULL);

	printf("  %5u  %6.2f %%  %6.2f s  %6.2f %% ", r.reached, 100 * r.worst, r.bad_seconds,
		100 * r.least);
	put_time(r.clean);
	printf("\n");
}

/* How it is tried before the others get it. */
struct trial {
	const char *name;
	unsigned canary;
	nsec_t bake;
	unsigned first;
	nsec_t soak;
};

static const struct trial trials[] = {
	{"-         -        ", 0, 0, 0, 0},
	{"1, 30 s   -        ", 1, 30 * SECOND, 0, 0},
	{"1, 2 min  -        ", 1, 2 * MINUTE, 0, 0},
	{"8, 2 min  -        ", 8, 2 * MINUTE, 0, 0},
	{"-         5, 10 min", 0, 0, 5, 10 * MINUTE},
	{"1, 2 min  5, 10 min", 1, 2 * MINUTE, 5, 10 * MINUTE},
};

static void later(uint64_t seed)
{
	static const nsec_t lives[] = {30 * SECOND, 5 * MINUTE, HOUR};

	title("A release that exits some time after it was ready, on 10 % of "
	      "the "
	      "hosts at once.\nThe roll stops after the first failed host.  "
	      "Canaries of each host and their bake,\nthe first hosts and "
	      "their "
	      "soak:",
		"  exits in  canary    first      hosts   workers  answered  "
		"capacity     clean");
	for (unsigned i = 0; i < COUNT_OF(lives); i++)
		for (unsigned k = 0; k < COUNT_OF(trials); k++) {
			struct plan plan = usual;

			plan.fault = FAULT_EXITS_LATER;
			plan.life = lives[i];
			plan.canary = trials[k].canary;
			plan.bake = trials[k].bake;
			plan.first = trials[k].first;
			plan.soak = trials[k].soak;
			put_time(plan.life);
			printf("   %s", trials[k].name);
			put_bad(&plan, seed);
		}
}

static void wrong(uint64_t seed)
{
	static const unsigned hosts[] = {1, 10, 100, 250};

	title("A release that never exits and answers wrongly, as a person "
	      "sees "
	      "after 15 minutes:",
		"  at once   first      hosts   workers  answered  "
		"capacity     clean");
	for (unsigned i = 0; i < COUNT_OF(hosts); i++)
		for (unsigned first = 0; first <= 5; first += 5) {
			struct plan plan = usual;

			plan.fault = FAULT_ANSWERS;
			plan.at_once = hosts[i];
			plan.first = first;
			plan.soak = first > 0 ? 20 * MINUTE : 0;
			put_hosts(&plan);
			printf("   %-9s", first > 0 ? "5, 20 min" : "-");
			put_bad(&plan, seed);
		}
}

/* ---- other faults meanwhile ---- */

struct stop_rule {
	const char *name;
	unsigned failures;
	bool counts_absent;
};

static void faults(uint64_t seed)
{
	static const struct stop_rule rules[] = {
		{"1 failed or absent ", 1, true},
		{"50 failed or absent", 50, true},
		{"1 failed           ", 1, false},
	};
	static const unsigned hosts[] = {10, 100};

	title("A good release, but 5 hosts are down, 20 an hour die, and the "
	      "network of 40 is\ncut after 3 minutes for 10.  The roll stops "
	      "after so many hosts, where absent\nones do not answer the tool:",
		"  at once  stops after              time  replaced  absent  "
		"capacity  refused     lost");
	for (unsigned i = 0; i < COUNT_OF(hosts); i++)
		for (unsigned k = 0; k < COUNT_OF(rules); k++) {
			struct plan plan = usual;
			struct result r;

			plan.at_once = hosts[i];
			plan.failures = rules[k].failures;
			plan.counts_absent = rules[k].counts_absent;
			plan.dead = 5;
			plan.dying = 20;
			plan.cut = 40;
			plan.cut_at = 3 * MINUTE;
			plan.cut_for = 10 * MINUTE;
			r = fleet_run(&plan, seed, NULL);
			put_hosts(&plan);
			printf("  %s ", rules[k].name);
			put_time(r.took);
			printf("  %8u  %6u   %5.1f %%  %5.1f s  %5.2f s\n", r.replaced, r.absent,
				100 * r.least, r.refused_seconds, r.lost_seconds);
		}
}

static const struct {
	const char *name;
	void (*print)(uint64_t seed);
} tables[] = {
	{"good", good},
	{"slow", slow},
	{"early", early},
	{"later", later},
	{"wrong", wrong},
	{"faults", faults},
};

static void print_table(const char *name, uint64_t seed)
{
	for (unsigned i = 0; i < COUNT_OF(tables); i++)
		if (name == NULL || strcmp(name, tables[i].name) == 0)
			tables[i].print(seed);
}

static void show_minutes(uint64_t seed)
{
	struct plan plan = usual;

	plan.fault = FAULT_EXITS_LATER;
	plan.life = 5 * MINUTE;
	plan.failures = 0;
	plan.taken_out = true;
	(void)fleet_run(&plan, seed, stdout);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: fleet [--seed N] [--minutes | --check SEEDS | "
		"good|slow|early|later|wrong|faults]\n");
	return 64;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1;
	int i = 1;

	if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
		seed = strtoull(argv[i + 1], NULL, 10);
		i += 2;
	}
	if (i < argc && strcmp(argv[i], "--minutes") == 0) {
		show_minutes(seed);
		return 0;
	}
	if (i + 1 < argc && strcmp(argv[i], "--check") == 0)
		return proofs_run(strtoull(argv[i + 1], NULL, 10)) ? 0 : 1;
	if (i < argc && argv[i][0] == '-')
		return usage();
	printf("1,000 hosts of 64 workers, of which each starts in 1 to 3 s; "
	       "seed "
	       "%" PRIu64 ".  Answered\n(by the bad release), refused and lost "
	       "is so much of the whole fleet's traffic.\n",
		seed);
	if (i == argc)
		print_table(NULL, seed);
	for (; i < argc; i++)
		print_table(argv[i], seed);
	return 0;
}
