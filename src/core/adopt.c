/* SPDX-License-Identifier: MIT */
#include "core/adopt.h"

#include "base/scope.h"
#include "core/internal.h"

/*
 * Workers that live already: of an earlier nclust, or for a connection.  From then on they are
 * like any others.
 */

int cluster_adopt_begin(struct cluster *c, unsigned generation, bool says_ready, bool listens)
{
	struct generation *g = cluster_in_force(c);

	if (c->alive > 0 || c->generations.count != 1 || generation < c->generation)
		return -1;
	g->number = c->generation = c->last_generation = generation;
	g->knows[LESSON_SAYS_READY] |= says_ready;
	g->knows[LESSON_LISTENS] |= listens;
	return 0;
}

/* Add the generations before the one in force, in their order, with its settings:
 * their own are not known any more. */
static bool add_generation(struct cluster *c, unsigned number)
{
	struct generations *g = &c->generations;
	struct generation in_force = *cluster_in_force(c);

	if (cluster_find_generation(c, number) != NULL)
		return true;
	if (number > c->generation || g->count >= g->cap)
		return false;
	(void)generations_add(g, c->generation + 1, cluster_settings_ref(in_force.settings));
	for (unsigned i = g->count - 1;; i--) {
		if (i == 0 || g->list[i - 1].number < number) {
			g->list[i] = in_force;
			g->list[i].number = number;
			g->list[i].workers = g->list[i].serving = 0;
			g->list[i].beside = g->list[i].starting = 0;
			return true;
		}
		g->list[i] = g->list[i - 1];
	}
}

static struct worker *place_for(struct cluster *c, uint32_t i)
{
	struct slot *s = &c->slots[i];

	if (s->main.state == WORKER_NONE)
		return &s->main;
	return s->other.state == WORKER_NONE ? &s->other : NULL;
}

static void go_on_going(struct cluster *c, const struct adoption *a, struct worker *w)
{
	const struct moment more = {.why = WHY_STOP};
	enum worker_event event = a->going == SLOT_DRAINING ? ON_DRAIN : ON_STOP;

	(void)slot_tell(c, a->slot, w, a->killed ? ON_KILL : event, &more);
	w->stop_step = (uint8_t)a->stop_step;
	w->deadline = a->due == NSEC_NEVER ? NSEC_NEVER : a->due - c->lost;
}

uint64_t cluster_adopt(struct cluster *c, const struct adoption *a)
{
	struct actions untold uninitialized;
	struct moment more = {.pid = a->pid};
	struct generation *g;
	struct worker *w;

	if (a->slot >= c->cap || !add_generation(c, a->generation))
		return 0;
	if (c->now < a->now)
		c->now = a->now;
	w = place_for(c, a->slot);
	if (w == NULL)
		return 0;
	if (c->count <= a->slot) {
		c->count = a->slot + 1;
		c->shrink = cluster_is_on_demand(c) ? 0 : c->count;
	}
	untold.count = 0;
	c->out = &untold;
	if (c->last_worker < a->worker)
		c->last_worker = a->worker;
	worker_init(w, a->worker != 0 ? a->worker : ++c->last_worker, a->generation);
	c->alive++;
	g = cluster_find_generation(c, a->generation);
	g->workers++;
	g->starting++;
	(void)slot_tell(c, a->slot, w, ON_SPAWNED, &more);
	w->born = a->born;
	/* the worker has been alive for some time, but nclust has not waited for it */
	if (w->proven_at != NSEC_NEVER)
		w->proven_at -= a->now - a->born;
	if (a->ready_at != NSEC_NEVER) {
		w->gate_at = a->ready_at; /* it serves, so it has passed its gate */
		/* without another sign: the worker has lived for long enough */
		(void)slot_tell(c, a->slot, w,
			g->knows[LESSON_SAYS_READY] || g->knows[LESSON_LISTENS] ? ON_READY
										: ON_PROVEN,
			NULL);
		w->ready_at = a->ready_at;
		w->serves_since = a->ready_at - c->lost;
	}
	if (a->going == SLOT_DRAINING || a->going == SLOT_STOPPING)
		go_on_going(c, a, w);
	c->out = NULL;
	c->slots[a->slot].last = (struct ending){.kind = ENDING_NONE};
	if (c->slots[a->slot].restarts < a->restarts)
		c->slots[a->slot].restarts = a->restarts;
	slot_set_due(c, a->slot, c->now);
	return w->id;
}

/* ---- carried by an upgrade ---- */

/* Check what the core relies on. */
static bool is_known(const struct cluster *c, const struct worker *w)
{
	/* no spawn is under way between two calls */
	if (w->state == WORKER_ASKED || w->state == WORKER_UNWANTED)
		return false;
	return w->state == WORKER_NONE ||
		(cluster_find_generation(c, w->generation) != NULL && w->id != 0 &&
			w->id <= c->last_worker);
}

static const char *check_generations(const struct cluster *c)
{
	const struct generations *g = &c->generations;

	for (unsigned i = 0; i < g->count; i++) {
		if (i > 0 && g->list[i].number <= g->list[i - 1].number)
			return "the generations are out of order";
		if (g->list[i].number > c->last_generation)
			return "a generation is not known yet";
	}
	if (cluster_in_force(c) == NULL)
		return "the generation in force is missing";
	if (c->rollout.watch > 0 && cluster_find_generation(c, c->rollout.from) == NULL)
		return "the generation before the rollout is missing";
	return NULL;
}

const char *cluster_restore(struct cluster *c)
{
	const char *wrong = check_generations(c);

	if (wrong != NULL)
		return wrong;
	c->places = c->wanted + spare_wanted(c);
	if (c->places > c->count)
		c->places = c->wanted;
	if (c->wanted > c->count)
		return "a slot is missing";
	for (uint32_t i = 0; i < c->count; i++)
		if (!is_known(c, &c->slots[i].main) || !is_known(c, &c->slots[i].other))
			return "a worker is of no known generation";
	line_restore(c);
	slots_arrange(c, c->leaves);
	return NULL;
}
