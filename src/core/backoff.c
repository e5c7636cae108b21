/* SPDX-License-Identifier: MIT */
#include "core/backoff.h"

/* A backoff-min of 0 must not become a busy loop. */
#define LEAST_DELAY MSEC

/* splitmix64 (Steele, Lea, Flood: Fast splittable generators, 2014). */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static nsec_t with_jitter(nsec_t delay, unsigned per_cent, uint64_t *random)
{
	nsec_t spread = delay / 100 * (nsec_t)per_cent;
	uint64_t range = 2 * (uint64_t)spread + 1;

	return delay - spread + (nsec_t)(random_next(random) % range);
}

static nsec_t longer(nsec_t delay, const struct cluster_settings *settings)
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

nsec_t backoff_next(struct backoff *b, const struct cluster_settings *settings,
	bool was_ready, nsec_t ready_for, uint64_t *random)
{
	if (was_ready && ready_for >= settings->stable_after) {
		backoff_reset(b);
		return 0;
	}
	if (was_ready && !b->forgiven) {
		b->delay = 0;
		b->forgiven = true;
		return 0;
	}
	b->delay = longer(b->delay, settings);
	return with_jitter(b->delay, settings->backoff_jitter, random);
}

void backoff_reset(struct backoff *b)
{
	*b = (struct backoff){0};
}
