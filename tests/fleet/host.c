/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include "../sim/recount.h"
#include "core/adopt.h"

#include <signal.h>
#include <stdlib.h>

#define QUIET_WITHIN (500 * MSEC) /* a moment without a request in flight */
#define STOPS_WITHIN (100 * MSEC)

static struct process *find(struct host *h, uint32_t slot, uint64_t worker)
{
	for (int i = 0; i < 2; i++)
		if (h->processes[slot][i].id == worker)
			return &h->processes[slot][i];
	return NULL;
}

/* It begins or ends to serve. */
static void serve(struct fleet *f, struct host *h, struct process *p, bool serves)
{
	int times = (int)serves - (int)p->serves;
	bool is_bad = p->is_new && f->plan.fault != FAULT_NONE;

	if (times == 0)
		return;
	traffic_leave(f, h);
	p->serves = serves;
	h->ready += times;
	if (is_bad) {
		h->bad += times;
		f->result.reached += !h->reached;
		h->reached = true;
	}
	traffic_join(f, h);
}

static void tell(struct fleet *f, struct host *h, const struct action *a, nsec_t after,
	enum event_kind kind, int signal)
{
	ahead_add(f, f->now + after,
		(struct thing){.kind = THING_EVENT,
			.host = (unsigned)(h - f->hosts),
			.slot = a->slot,
			.worker = a->worker,
			.event = kind,
			.signal = signal});
}

static void live(struct fleet *f, struct host *h, const struct action *a)
{
	nsec_t start = ahead_span(f, f->plan.start / 2, 3 * f->plan.start / 2);
	nsec_t life = f->plan.life;
	enum fault fault = h->new_release ? f->plan.fault : FAULT_NONE;

	if (fault == FAULT_EXITS_EARLY) {
		tell(f, h, a, start / 2, EVENT_EXITED, 0);
		return;
	}
	tell(f, h, a, start, EVENT_READY, 0);
	if (fault != FAULT_EXITS_LATER)
		return;
	if (!f->plan.exactly)
		life = ahead_life(f, life);
	tell(f, h, a, start + life, EVENT_EXITED, 0);
}

static void spawn(struct fleet *f, struct host *h, const struct action *a)
{
	struct process *p = find(h, a->slot, 0);

	if (p == NULL)
		fleet_complain(f, "three workers in a slot");
	*p = (struct process){.id = a->worker, .is_new = h->new_release};
	live(f, h, a);
}

static void carry_out(struct fleet *f, struct host *h, const struct action *a)
{
	struct process *p;

	switch (a->kind) {
	case ACTION_DRAIN: /* it serves until it is quiet */
		tell(f, h, a, ahead_span(f, 0, QUIET_WITHIN), EVENT_DRAINED, 0);
		break;
	case ACTION_SIGNAL:
	case ACTION_KILL:
		p = find(h, a->slot, a->worker);
		if (p != NULL)
			serve(f, h, p, false);
		tell(f, h, a, ahead_span(f, 0, STOPS_WITHIN), EVENT_EXITED, SIGTERM);
		break;
	case ACTION_REPORT:
		if (a->report.rollout == h->rollout &&
			(a->report.kind == REPORT_ROLLOUT_DONE ||
				a->report.kind == REPORT_ROLLOUT_FAILED))
			deployer_told(f, h, a->report.kind == REPORT_ROLLOUT_DONE);
		if (a->report.kind == REPORT_SURPRISE)
			fleet_complain(f, "the core is surprised");
		break;
	default:
		break;
	}
}

static void arm(struct fleet *f, struct host *h)
{
	nsec_t at = cluster_next_deadline(h->core);

	if (at >= h->armed)
		return;
	h->armed = at;
	ahead_add(f, at > f->now ? at : f->now,
		(struct thing){.kind = THING_TICK, .host = (unsigned)(h - f->hosts)});
}

static void feed(struct fleet *f, struct host *h, const struct event *event)
{
	static struct actions out; /* used up before the answers */
	struct event answers[SPAWNS_AT_ONCE];
	unsigned count = 0;

	cluster_handle(h->core, event, &out);
	for (unsigned i = 0; i < out.count; i++) {
		const struct action *a = &out.list[i];

		if (a->kind != ACTION_SPAWN) {
			carry_out(f, h, a);
			continue;
		}
		spawn(f, h, a);
		answers[count++] = (struct event){.kind = EVENT_SPAWNED,
			.now = f->now,
			.slot = a->slot,
			.worker = a->worker,
			.pid = (pid_t)a->worker + 1000};
	}
	for (unsigned i = 0; i < count; i++)
		feed(f, h, &answers[i]);
	arm(f, h);
}

void host_event(struct fleet *f, struct host *h, const struct thing *thing)
{
	struct process *p = find(h, thing->slot, thing->worker);
	struct event e = {.kind = thing->event,
		.now = f->now,
		.slot = thing->slot,
		.worker = thing->worker,
		.ending = {.kind = thing->signal != 0 ? ENDING_SIGNAL : ENDING_EXIT,
			.code = thing->signal != 0 ? thing->signal : 1}};

	if (h->down || p == NULL)
		return; /* it has ended by other means */
	if (e.kind == EVENT_READY) {
		serve(f, h, p, true);
	} else if (e.kind == EVENT_EXITED) {
		h->crashes += p->is_new && p->serves;
		serve(f, h, p, false);
		*p = (struct process){0};
	}
	feed(f, h, &e);
}

void host_tick(struct fleet *f, struct host *h)
{
	struct event e = {.kind = EVENT_TICK, .now = f->now};

	if (h->down)
		return;
	h->armed = NSEC_NEVER;
	if (cluster_next_deadline(h->core) <= f->now)
		feed(f, h, &e);
	arm(f, h);
}

void host_roll(struct fleet *f, struct host *h, unsigned canary, nsec_t bake)
{
	struct event e = {.kind = EVENT_ROLL,
		.now = f->now,
		.slot = SLOT_ALL,
		.has_canary = true,
		.count = canary,
		.has_bake = true,
		.span = bake};

	feed(f, h, &e);
	h->rollout = cluster_last_rollout(h->core);
}

bool host_runs_new(const struct fleet *f, const struct host *h)
{
	for (unsigned i = 0; i < f->plan.workers; i++)
		for (int k = 0; k < 2; k++)
			if (h->processes[i][k].id != 0 && h->processes[i][k].is_new)
				return true;
	return false;
}

/* All its workers have served for long. */
void host_init(struct fleet *f, struct host *h)
{
	struct event e = {.kind = EVENT_TICK, .now = f->now};

	h->armed = NSEC_NEVER;
	h->processes = calloc(f->plan.workers, sizeof(*h->processes));
	h->core = cluster_new(f->settings, f->plan.workers, (uint64_t)(h - f->hosts));
	if (h->processes == NULL || h->core == NULL ||
		cluster_adopt_begin(h->core, 1, true, true) == -1)
		abort();
	for (uint32_t i = 0; i < f->plan.workers; i++) {
		struct adoption a = {.slot = i,
			.generation = 1,
			.pid = (pid_t)i + 1000,
			.now = f->now,
			.born = f->now - HOUR,
			.ready_at = f->now - HOUR};
		struct process *p = &h->processes[i][0];

		p->id = cluster_adopt(h->core, &a);
		p->serves = true;
		h->ready++;
	}
	feed(f, h, &e);
	traffic_join(f, h);
}

void host_fini(struct fleet *f, struct host *h)
{
	const char *wrong = cluster_check(h->core);

	if (wrong != NULL)
		fleet_complain(f, wrong);
	cluster_free(h->core);
	free(h->processes);
}
