/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/slot.h"

/*
 * A wave: slots of a rollout whose new worker is held beside the old one, which
 * goes on serving, until the new workers of all these slots have proven
 * themselves; only then do the old ones go.  The first new worker that fails ends
 * the rollout, and nothing was lost.  There are two waves: the canaries, `canary`
 * slots that are watched for the time `bake`, and with `surge = all` the fleet,
 * all other slots.
 */
#define ALL_SLOTS UINT32_MAX

/* The rollout begins: which waves it has. */
void canary_begin(struct cluster *c, const struct event *asked);

/* Look if a wave is over; true if it was, and there is more to do. */
bool canary_advance(struct cluster *c);

/* The same for a rollout where nothing ran: all workers are watched, once all of
 * them are there; true when that is over. */
bool canary_advance_fresh(struct cluster *c, bool all_there);

/* How long each worker of the ending rollout is watched, from when it became ready; 0
 * if readiness is no guess, or the rollout's bake time is 0. */
nsec_t canary_watch(const struct cluster *c);

/* Does a canary take the place of its predecessor at once?  A canary that was not asked
 * for does where the settings, which may change meanwhile, allow no additional worker. */
bool canary_is_alone(const struct cluster *c);

/* Are new workers still to be held, but no more of them for now? */
bool canary_is_full(const struct cluster *c);

/* Is the new worker of this slot held beside the old one? */
bool canary_is_held(const struct cluster *c, const struct slot *s);

/* Is this worker held, or would it be, had it a predecessor? */
bool canary_is_one(const struct cluster *c, const struct slot *s, const struct worker *w);

/* Is this worker held, or of the canaries' generation and not held any more, as its
 * predecessor has ended by itself?  It is watched with the canaries. */
bool canary_is_on_trial(const struct cluster *c, const struct slot *s, const struct worker *w);

/* The slot has been settled, or let go: is its new worker ready? */
void canary_look(struct cluster *c, struct slot *s);

/* The slot is not held any more: its step goes on as any other. */
void canary_let_go(struct cluster *c, struct slot *s);

/* When the canaries have been watched for long enough; or NSEC_NEVER. */
nsec_t canary_due(const struct cluster *c);

/* How long a worker has to live once it is ready: stable-after, or 0 if that is no guess. */
nsec_t cluster_watch_time(const struct cluster *c);
