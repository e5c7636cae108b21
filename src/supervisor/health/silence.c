/* SPDX-License-Identifier: MIT */
#include "supervisor/health/silence.h"

#include "os/clock.h"
#include "supervisor/health/health.h"
#include "supervisor/health/sight.h"
#include "supervisor/workers/child.h"

static uint64_t print_of(const struct child *child)
{
	struct sight sight = {.cpu = 0};
	uint64_t print;

	sight_processes(&sight, child);
	sight_connections(&sight, child);
	print = sight_taken(&sight);
	sight_free(&sight);
	return print;
}

bool silence_lasts(struct child *child, nsec_t since)
{
	const struct cluster_settings *s = child_settings(child);
	struct health *h = health_of(child);
	nsec_t now = clock_now();
	uint64_t print;

	if (h == NULL || s == NULL)
		return false;
	h->silent = false;
	if (h->silent_since >= since &&
		now - h->silent_since <
			(nsec_t)s->check_failures * s->check_interval)
		return false;
	print = print_of(child);
	h->silent = h->silent_since >= since && print == h->silent_print;
	if (!h->silent)
		h->silent_since = now;
	h->silent_print = print;
	return h->silent;
}
