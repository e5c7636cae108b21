/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The core in a fake world: sim [--seed N] [--seeds N] [--verbose].  Each
 * seed is a world of its own; the first that breaks a rule is told with the
 * last that happened in it, and the status is 1.  At the end stands how often
 * the core told what, so that a world that became too tame is noticed; and with many
 * seeds verbs have to have come in each order.
 */
#define LOADS 8   /* one of so many worlds has loads, too, which take long */
#define MANY 5000 /* in so many worlds verbs have to come in each order */

struct totals {
	uint64_t events;
	uint64_t reports[REPORT_KINDS];
	uint64_t signs[SIGNS];
	uint64_t slow_waits;
	uint64_t forgotten;
	uint64_t rescued;
	uint64_t taken_back;
	uint64_t no_way_back;
	struct orders orders;
};

static void run_world(uint64_t seed, bool verbose, struct totals *totals)
{
	struct world world;

	world_init(&world, seed);
	world.verbose = verbose;
	scenario_run(&world);
	world_fini(&world);
	if (verbose || seed % LOADS == 0)
		loads_run(seed, verbose);
	spares_run(seed, verbose);
	totals->events += world.events;
	for (int i = 0; i < REPORT_KINDS; i++)
		totals->reports[i] += world.reports[i];
	for (int i = 0; i < SIGNS; i++)
		totals->signs[i] += world.signs[i];
	totals->slow_waits += world.slow_waits;
	totals->forgotten += world.forgotten;
	totals->rescued += world.rescued;
	totals->taken_back += world.taken_back;
	totals->no_way_back += world.no_way_back;
	orders_add(&totals->orders, &world.orders);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--seed N] [--seeds N] [--verbose]\n");
	return 64;
}

int main(int argc, char **argv)
{
	uint64_t first = 1;
	uint64_t count = 5000;
	bool verbose = false;
	struct totals totals = {0};

	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (strcmp(argv[i], "--verbose") == 0) {
			verbose = true;
		} else if (strcmp(argv[i], "--seed") == 0 && has_value) {
			first = strtoull(argv[++i], NULL, 10);
			count = 1;
		} else if ((strcmp(argv[i], "--seeds") == 0 || strcmp(argv[i], "--count") == 0) &&
			has_value) {
			count = strtoull(argv[++i], NULL, 10);
		} else {
			return usage();
		}
	}
	for (uint64_t seed = first; seed < first + count; seed++)
		run_world(seed, verbose, &totals);
	printf("%" PRIu64 " worlds from seed %" PRIu64 ", %" PRIu64 " events", count, first,
		totals.events);
	for (int i = 0; i < REPORT_SURPRISE; i++)
		printf("%s%s %" PRIu64, i % 5 == 0 ? "\n  " : ", ",
			trace_report_name((enum report_kind)i), totals.reports[i]);
	printf("\n  ready: %" PRIu64 " said so, %" PRIu64 " listened, %" PRIu64 " proved, %" PRIu64
	       " lived\n",
		totals.signs[SIGN_SAID], totals.signs[SIGN_LISTENS], totals.signs[SIGN_PROVED],
		totals.signs[SIGN_LIVES]);
	printf("  loops: %" PRIu64 " waits after a stable worker, %" PRIu64 " forgotten, %" PRIu64
	       " started as nobody was at work\n",
		totals.slow_waits, totals.forgotten, totals.rescued);
	printf("  done, and failed: %" PRIu64 " gone back, %" PRIu64 " had nothing to go back to\n",
		totals.taken_back, totals.no_way_back);
	if (!orders_print(&totals.orders, count >= MANY) && count >= MANY)
		return 1;
	return 0;
}
