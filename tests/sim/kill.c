/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "core/adopt.h"

#include <string.h>

/*
 * nclust is killed, and the next one takes its workers over (cluster_adopt()).  It
 * knows the settings and the generation in force, and who lives; what was under way
 * is forgotten.  Workers get other numbers: they are counted from 1 again.
 */

static struct process *adopt(
	struct world *w, struct cluster *to, const struct process *from, nsec_t lost)
{
	struct adoption a = {
		.slot = from->slot,
		.generation = from->generation,
		.pid = 1000,
		.now = w->now,
		.born = from->born,
		.ready_at = from->ready ? nsec_min(w->now, from->ready_since + lost) : NSEC_NEVER,
	};
	uint64_t id = cluster_adopt(to, &a);
	struct process *p = &w->processes[id];

	if (id != w->last_worker + 1)
		world_complain(w, "a worker is not taken over");
	w->last_worker = id;
	*p = (struct process){
		.slot = from->slot,
		.generation = from->generation,
		.settings = cluster_settings(to),
		.life = LIFE_ALIVE,
		.ready = from->ready,
		.beats = from->beats,
		.born = from->born,
		.proven_at = NSEC_NEVER,
		.ready_by = NSEC_NEVER,
		.gone_by = NSEC_NEVER,
		.ready_since = a.ready_at,
	};
	p->command = world_plan_of(w, p->settings)->command;
	return p;
}

static void settle_in(struct world *w, struct process *p)
{
	struct place *place = &w->places[p->slot];

	place->workers[place->alive++] = w->last_worker;
	place->staying++;
	if (place->alive == 2) {
		place->errand = ERRAND_FOUND;
		place->vague = true;
	}
	w->alive++;
	if (p->ready) {
		p->mode = p->settings->ready;
		w->ready++;
		w->lived = true;
		trials_expect_beat(w, p);
		w->known[p->command].silent |= p->mode == READY_AUTO &&
			!w->known[p->command].says_ready && !w->known[p->command].listens;
	} else {
		witness_starts(w, p);
		if (p->proven_at != NSEC_NEVER)
			p->proven_at -= w->now - p->born;
	}
}

/* What the next nclust knows nothing of. */
static void forget(struct world *w)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		w->places[i] = (struct place){.refill_by = NSEC_NEVER};
	memset(w->asked_settings, 0, sizeof(w->asked_settings));
	memset(w->asked_canary, 0, sizeof(w->asked_canary));
	memset(w->outcome, 0, sizeof(w->outcome));
	for (unsigned i = 0; i < PLANS_MAX; i++)
		w->known[i].silent = false;
	w->alive = w->ready = 0;
	w->lived = w->went_back_badly = false;
	w->gave_up = w->may_give_up = false;
	w->death_count = 0;
	w->rollout = w->rollout_to = w->done = w->failed_last = 0;
	w->baked = w->baking = 0;
	w->late.rollout = 0;
	w->disturbed = true;
	w->lost = 0;
}

/* What is to come for a worker comes to its new number; the answer to a drain, which
 * the next nclust did not ask for, does not come. */
static void renumber(struct world *w, const uint64_t *numbers)
{
	unsigned count = w->coming_count;

	w->coming_count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct coming it = w->coming[i];

		it.event.worker = numbers[it.event.worker];
		if (it.event.worker != 0 && it.event.kind != EVENT_DRAINED)
			world_schedule(w, it.at, &it.event);
	}
}

void kill_and_adopt(struct world *w)
{
	static uint64_t numbers[PROCESSES_MAX];
	struct cluster *old = w->cluster;
	struct cluster_settings *s = (struct cluster_settings *)(uintptr_t)cluster_settings(old);
	unsigned generation = cluster_generation(old);
	uint64_t last = w->last_worker;
	nsec_t lost = w->lost;
	struct cluster *to = cluster_new(s, w->wanted, w->seed + last);
	struct event first = {.kind = EVENT_TICK};

	for (uint64_t id = 1; id <= last; id++)
		if (w->processes[id].life == LIFE_ALIVE && w->processes[id].generation > generation)
			generation = w->processes[id].generation;
	if (to == NULL || cluster_reserve(to, cluster_slots(old)) == -1 ||
		cluster_adopt_begin(
			to, generation, cluster_knows_notify(old), cluster_knows_listen(old)) == -1)
		world_complain(w, "nothing can be taken over");
	forget(w);
	/* a command may have to listen as the one before it did: the next nclust is told so */
	w->known[world_plan_of(w, s)->command].listens |= cluster_knows_listen(to);
	memset(numbers, 0, sizeof(numbers));
	w->last_worker = 0;
	for (uint64_t id = 1; id <= last; id++) {
		struct process from = w->processes[id];

		if (from.life != LIFE_ALIVE)
			continue;
		settle_in(w, adopt(w, to, &from, lost));
		numbers[id] = w->last_worker;
	}
	renumber(w, numbers);
	twin_end(w);
	cluster_free(old);
	w->cluster = to;
	w->slots = cluster_slots(to);
	w->rescues_from = 0;
	world_tell_alone(w);
	world_deliver(w, &first);
}
