/* SPDX-License-Identifier: MIT */
#include "core/cluster.h"
#include "supervisor/common/carried.h"
#include "supervisor/upgrade/carry_core.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

/*
 * The cluster, carried to another process (core/adopt.h): from then on both hear
 * the same, and have to answer the same, until the one that was carried takes
 * the place of the other, and is carried in its turn.
 */

static uint64_t draw(struct world *w, uint64_t most)
{
	/* a stream of its own: worlds are the same with and without twins */
	w->twin_random ^= w->twin_random << 13;
	w->twin_random ^= w->twin_random >> 7;
	w->twin_random ^= w->twin_random << 17;
	return w->twin_random % most;
}

/* ---- carrying, by way of bytes ---- */

static const struct plain_row rows[] = {
	CARRY_GROUP(CARRY_CORE, service, core, &carried_core),
};
static const struct carried around = {.called = "a cluster", CARRIED_ROWS(rows, service)};

static struct cluster *carry(struct world *w)
{
	static const struct handover_version version = {1, 0};
	struct service from = {.core = w->cluster};
	struct service to = {.core = NULL};
	struct error err = {.text = ""};
	struct carry_writer c = {.sup = NULL};
	struct carry_reader r = {.err = &err};
	struct handover_reader in;

	buffer_init(&c.out, 0);
	handover_begin(&c.w, &c.out);
	carry_put_all(&c, &around, &from);
	memcpy(r.lists, c.lists, sizeof(r.lists));
	if (handover_end(&c.w, &version) == -1 ||
		handover_open_for_reading(&in, c.out.data, c.out.len, 1, &r.version, &err) == -1 ||
		carry_get_all(&r, &around, &to, &in) == -1)
		world_complain(w, "the cluster cannot be carried: %s", err.text);
	carry_fini(&c);
	return to.core;
}

/* ---- comparing ---- */

static bool same_ending(const struct ending *a, const struct ending *b)
{
	return a->kind == b->kind && a->code == b->code && a->step == b->step &&
		a->permanent == b->permanent && a->exit_status == b->exit_status &&
		a->core_dumped == b->core_dumped && a->out_of_memory == b->out_of_memory;
}

static bool same_report(const struct report *a, const struct report *b)
{
	return a->kind == b->kind && a->slot == b->slot && a->worker == b->worker &&
		a->pid == b->pid && a->generation == b->generation && a->rollout == b->rollout &&
		a->count == b->count && a->others == b->others && a->signal == b->signal &&
		a->age == b->age && a->ready_for == b->ready_for && a->wait == b->wait &&
		a->span == b->span && a->took == b->took && a->was_ready == b->was_ready &&
		a->back == b->back && a->beside == b->beside && a->early == b->early &&
		a->why == b->why && a->state == b->state && a->scale_why == b->scale_why &&
		a->measure == b->measure && same_ending(&a->ending, &b->ending);
}

static bool same_action(const struct action *a, const struct action *b)
{
	return a->kind == b->kind && a->slot == b->slot && a->worker == b->worker &&
		a->generation == b->generation && a->signal == b->signal && a->span == b->span &&
		a->settings == b->settings &&
		(a->kind != ACTION_REPORT || same_report(&a->report, &b->report));
}

/* ---- as it is seen from outside ---- */

static bool same_worker(const struct worker_view *a, const struct worker_view *b)
{
	return a->id == b->id && a->pid == b->pid && a->state == b->state &&
		a->generation == b->generation && a->born == b->born && a->ready_at == b->ready_at;
}

static bool same_slot(const struct world *w, uint32_t slot)
{
	struct slot_view a;
	struct slot_view b;
	bool same;

	cluster_view_slot(w->cluster, slot, &a);
	cluster_view_slot(w->twin, slot, &b);
	same = a.state == b.state && a.workers == b.workers && a.restarts == b.restarts &&
		a.next_try == b.next_try && a.last_why == b.last_why && a.last_age == b.last_age &&
		same_ending(&a.last, &b.last);
	for (unsigned i = 0; same && i < a.workers; i++)
		same = same_worker(&a.worker[i], &b.worker[i]);
	return same;
}

static bool same_rollout(const struct world *w)
{
	struct rollout_view a = cluster_view_rollout(w->cluster);
	struct rollout_view b = cluster_view_rollout(w->twin);

	if (!a.under_way && !b.under_way)
		return true;
	return a.under_way == b.under_way && a.id == b.id && a.to == b.to && a.done == b.done &&
		a.of == b.of && a.slot == b.slot && a.since == b.since &&
		a.going_back == b.going_back && a.drops_ports == b.drops_ports &&
		a.canary == b.canary && a.baking == b.baking && a.settings == b.settings;
}

static bool looks_the_same(struct world *w)
{
	const struct cluster *a = w->cluster;
	const struct cluster *b = w->twin;
	uint32_t slots = cluster_slots(a);

	if (slots != cluster_slots(b) || cluster_state(a) != cluster_state(b) ||
		cluster_ever_ready(a) != cluster_ever_ready(b) ||
		cluster_last_rollout(a) != cluster_last_rollout(b) ||
		cluster_is_settled(a) != cluster_is_settled(b) ||
		cluster_knows_notify(a) != cluster_knows_notify(b) ||
		cluster_knows_listen(a) != cluster_knows_listen(b) || !same_rollout(w))
		return false;
	return slots == 0 || same_slot(w, (uint32_t)draw(w, slots));
}

/* A surprise is told once by each of them. */
static bool is_surprise(const struct actions *out)
{
	for (unsigned i = 0; i < out->count; i++)
		if (out->list[i].kind == ACTION_REPORT &&
			out->list[i].report.kind == REPORT_SURPRISE)
			return true;
	return false;
}

void twin_handle(struct world *w, const struct event *event, const struct actions *out)
{
	static struct actions answer;
	struct event copy = *event;
	bool same;

	if (w->twin == NULL)
		return;
	cluster_handle(w->twin, &copy, &answer);
	same = answer.count == out->count;
	for (unsigned i = 0; same && i < out->count; i++)
		same = same_action(&answer.list[i], &out->list[i]);
	if (!same && !is_surprise(out) && !is_surprise(&answer))
		world_complain(w, "who was carried answers otherwise");
	if (!looks_the_same(w))
		world_complain(w, "who was carried looks otherwise");
	if (cluster_next_deadline(w->twin) != cluster_next_deadline(w->cluster))
		world_complain(w, "who was carried waits for something else");
}

/* References in an event are handed over: one for each. */
void twin_before(struct world *w, const struct event *event)
{
	if (w->twin != NULL && event->settings != NULL &&
		(event->kind == EVENT_ROLL || event->kind == EVENT_SETTINGS))
		(void)cluster_settings_ref(event->settings);
}

/* Between two events, with no spawn and no rollout under way. */
void twin_look(struct world *w)
{
	if (draw(w, 400) != 0 || cluster_view_rollout(w->cluster).under_way)
		return;
	if (w->twin != NULL) {
		cluster_free(w->cluster);
		w->cluster = w->twin;
	}
	w->twin = carry(w);
}

void twin_upgrade(struct world *w)
{
	struct cluster *to;

	if (cluster_view_rollout(w->cluster).under_way)
		return; /* it would wait */
	to = carry(w);
	cluster_free(w->cluster);
	w->cluster = to;
}

void twin_reserve(struct world *w, unsigned count)
{
	if (w->twin != NULL && cluster_reserve(w->twin, count) == -1)
		world_complain(w, "out of memory");
}

void twin_next_in_turn(struct world *w, bool first, uint32_t slot)
{
	if (w->twin != NULL && cluster_next_in_turn(w->twin, first) != slot)
		world_complain(w, "who was carried takes another turn");
}

void twin_end(struct world *w)
{
	cluster_free(w->twin);
	w->twin = NULL;
}
