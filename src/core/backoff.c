/* SPDX-License-Identifier: MIT */
#include "core/slot.h"

/* A backoff-min of 0 must not become a busy loop. */
#define LEAST_DELAY MSEC

#define SHORTAGE_LEAST (500 * MSEC)

/* A life of this length ends a loop of deaths. */
#define FORGET_AFTER MINUTE

static nsec_t with_jitter(nsec_t delay, unsigned per_cent, uint64_t *random)
{
	nsec_t spread = delay / 100 * (nsec_t)per_cent;
	uint64_t range = 2 * (uint64_t)spread + 1;

	return delay - spread + (nsec_t)(random_next(random) % range);
}

static nsec_t double_delay(nsec_t delay, const struct cluster_settings *settings)
{
	nsec_t least = settings->backoff_min;
	nsec_t most = settings->backoff_max;

	if (least < LEAST_DELAY)
		least = LEAST_DELAY;
	if (most < least)
		most = least;
	if (delay < least / 2)
		return least;
	return delay > most / 2 ? most : 2 * delay;
}

nsec_t backoff_next(struct backoff *b, const struct cluster_settings *settings, bool was_ready,
	nsec_t ready_for, uint64_t *random)
{
	if (was_ready && ready_for >= FORGET_AFTER && ready_for >= settings->stable_after)
		backoff_reset(b);
	if (was_ready && !b->forgiven) {
		b->delay = 0;
		b->forgiven = true;
		return 0;
	}
	b->delay = double_delay(b->delay, settings);
	return with_jitter(b->delay, settings->backoff_jitter, random);
}

nsec_t backoff_of_shortage(
	const struct cluster_settings *settings, uint32_t slots, uint64_t *random)
{
	nsec_t delay = slots * MSEC;

	if (delay < SHORTAGE_LEAST)
		delay = SHORTAGE_LEAST;
	return with_jitter(
		nsec_min(delay, settings->backoff_max), settings->backoff_jitter, random);
}

void backoff_reset(struct backoff *b)
{
	*b = (struct backoff){0};
}
